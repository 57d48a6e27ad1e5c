SMALL = {
    "data": "synthetic", "data__train_examples": 200, "data__test_examples": 50, "model": "mlp", "model__hidden": [8],
    "epochs": 1, "batch_size": 32, "augment": "none", "threads": 1, "device": "cpu",
}  # fmt: skip
