"""The shape of a decoder. Callers know it as `decoder.Config`."""

import dataclasses

from mem_alpha import mesh
from mem_alpha.models import kernels

SIZES = 'vocab_size num_layers width num_heads num_kv_heads head_width ff'


@dataclasses.dataclass(frozen=True)
class Config:
  """Hashable, so it can be a static argument."""

  vocab_size: int
  num_layers: int
  width: int
  num_heads: int
  num_kv_heads: int
  head_width: int  # need not be width / num_heads (Qwen3)
  ff: int
  rope_theta: float = 1e4
  # Llama 3: factor, low_freq_factor, high_freq_factor, original positions.
  rope_scaling: tuple[float, float, float, float] | None = None
  norm_eps: float = 1e-6
  qk_norm: bool = False  # Qwen3
  attention_bias: bool = False  # Qwen2.5: on query, key and value
  tied: bool = True  # the head is the embedding
  canon: int = 0  # past tokens that are mixed in before attention; 0: off
  attention: str = 'auto'  # kernel of whole rows; auto: by the platform
  dtype: str = 'float32'  # of activations; parameters are float32

  def __post_init__(self):
    for name in SIZES.split():
      if getattr(self, name) < 1:
        raise ValueError(f'{name}={getattr(self, name)} must be at least 1')
    if self.num_heads % self.num_kv_heads:
      raise ValueError(
        f'num_heads={self.num_heads} must be a multiple of '
        f'num_kv_heads={self.num_kv_heads}'
      )
    if self.head_width % 2:
      raise ValueError(f'head_width={self.head_width} must be even for rope')
    if self.canon < 0:
      raise ValueError(f'canon={self.canon} must be 0 (off) or more')
    if self.rope_scaling is not None and len(self.rope_scaling) != 4:
      raise ValueError(
        'rope_scaling is (factor, low_freq_factor, high_freq_factor, '
        f'original positions), got {self.rope_scaling}'
      )
    if self.attention not in ('auto', *kernels.KERNELS):
      raise ValueError(
        f'attention={self.attention!r} is unknown: use auto or one of '
        f'{", ".join(kernels.KERNELS)}'
      )
    if self.dtype not in ('float32', 'bfloat16', 'float16'):
      raise ValueError(
        f'dtype={self.dtype!r} must be float32, bfloat16 or float16'
      )


def check_mesh(cfg: Config):
  """The mesh in use must divide what it splits."""
  for axis, names in (
    ('tp', ('num_kv_heads', 'ff', 'vocab_size')),
    ('fsdp', ('width',)),
  ):
    for name in names:
      if getattr(cfg, name) % mesh.size(axis):
        raise ValueError(
          f'{name}={getattr(cfg, name)} cannot be split over '
          f'{mesh.size(axis)} devices (mesh axis {axis}): choose a mesh size '
          'that divides it'
        )
