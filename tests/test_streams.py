"""Randomness as a function of (seed, stream, epoch): the same on every machine, apart for every other triple."""

import hashlib

import torch

from wdrun.streams import generator, stream_seed


def test_a_seed_is_the_first_63_bits_of_the_digest_of_its_name():
    digits = hashlib.sha256(b"7/order/3").hexdigest()[:16]
    assert stream_seed(7, "order", 3) == int(digits, 16) // 2
    assert stream_seed(0, "init") == stream_seed(0, "init", 0) == 7615695542073086227


def test_every_seed_stream_and_epoch_has_its_own():
    seeds = {stream_seed(s, name, e) for s in range(20) for name in ("init", "order", "augment") for e in range(20)}
    assert len(seeds) == 20 * 3 * 20
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert stream_seed(1, "x", 23) != stream_seed(12, "x", 3)


def test_a_generator_is_anew_each_time_and_leaves_the_global_one_alone():
    before = torch.random.get_rng_state()
    first = generator(3, "order", 2)
    draws = torch.rand(5, generator=first)
    assert torch.equal(draws, torch.rand(5, generator=generator(3, "order", 2)))
    assert not torch.equal(draws, torch.rand(5, generator=first))
    assert not torch.equal(draws, torch.rand(5, generator=generator(3, "order", 3)))
    assert first.device.type == "cpu"
    assert torch.equal(torch.random.get_rng_state(), before)
