"""Small networks in the style of public ones: what their parameters are called, and which norm stands where."""

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    """A residual block of a ResNet: convolutions with batch norm behind them, and one without on the way around."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)

    def forward(self, x):
        return F.relu(x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.bn, self.block = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), Block()
        self.fc = nn.Linear(4, 10)

    def forward(self, x):
        return self.fc(self.block(F.max_pool2d(F.relu(self.bn(self.stem(x))), 2)).mean((2, 3)))


class LayerNorm2d(nn.Module):
    """A norm known by its name alone, over the channels of an image."""

    def __init__(self, channels):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels, 1, 1)), nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x):
        centred = x - x.mean(1, keepdim=True)
        return centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt() * self.weight + self.bias


class ConvNeXt(nn.Module):
    """Depthwise convolution, norm, two linear layers, a layer scale of (C, 1, 1)."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 4, 4, 4), LayerNorm2d(4)
        self.dw, self.ln = nn.Conv2d(4, 4, 7, padding=3, groups=4), nn.LayerNorm(4)
        self.up, self.down = nn.Linear(4, 8), nn.Linear(8, 4)
        self.layer_scale = nn.Parameter(0.1 * torch.ones(4, 1, 1))
        self.over_image, self.head = nn.LayerNorm((4, 8, 8)), nn.Linear(4, 10)

    def forward(self, x):
        x = self.norm(self.stem(x))
        inner = self.down(F.gelu(self.up(self.ln(self.dw(x).permute(0, 2, 3, 1))))).permute(0, 3, 1, 2)
        return self.head(self.over_image(x + self.layer_scale * inner).mean((2, 3)))


class ViT(nn.Module):
    """Tokens, positions, attention with a norm on the keys and queries, register tokens of three dimensions."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 8, 8)
        self.cls_token, self.register_tokens = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(1, 2, 8))
        self.pos_embed, self.kinds_embedding = nn.Parameter(torch.randn(1, 19, 8)), nn.Embedding(2, 8)
        self.position_embeddings = nn.Embedding(19, 8)
        self.norm1, self.q, self.k, self.v = nn.LayerNorm(8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.q_norm, self.k_norm = nn.RMSNorm(8), nn.RMSNorm(8)
        self.proj, self.norm, self.head = nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 10)
        self.mixing = nn.Parameter(torch.randn(2, 8, 8))

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), self.register_tokens.expand(len(x), -1, -1), x], 1)
        x = x + self.pos_embed + self.position_embeddings.weight + self.kinds_embedding.weight[0]
        y = self.norm1(x)
        x = x + self.proj(F.scaled_dot_product_attention(self.q_norm(self.q(y)), self.k_norm(self.k(y)), self.v(y)))
        return self.head((self.norm(x) @ self.mixing[0])[:, 0])


class Swin(nn.Module):
    """A table of relative positions, and what timm's modules say of decay: for the whole, and for a part."""

    def __init__(self):
        super().__init__()
        self.attn = Attention()
        self.absolute, self.head = nn.Parameter(torch.randn(8, 8)), nn.Linear(8, 10)

    def forward(self, x):
        return self.head(self.attn(x.mean(1).flatten(1)[:, :8] @ self.absolute))

    def no_weight_decay(self):
        return {"absolute", "not_there"}

    def no_weight_decay_keywords(self):
        return {"position_bias_table"}


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.relative_position_bias_table = nn.Parameter(torch.randn(9, 2))
        self.meta = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 8))
        self.qkv = nn.Linear(8, 8)
        self.state_log = nn.Parameter(torch.randn(8, 4))
        self.state_log._no_weight_decay = True

    def forward(self, x):
        table = self.meta(self.relative_position_bias_table).mean(0)
        return self.qkv(x) + table + self.state_log.mean()

    def no_weight_decay(self):
        return ["meta.0"]
