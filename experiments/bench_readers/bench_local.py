"""Questions per second of the local reader, beside transformers.

SmolLM2-135M-Instruct in float32 on CPU, 20 questions about each memory of 20
sentences of real text, shown in the order of the memory with the question last.
Both sides load the same file and get the same token ids; both decode greedily
up to 16 tokens, transformers one memory's 20 prompts at a time, left-padded.
"""

import json
import os
import pathlib
import re
import time

import jax
import numpy as np
import torch
import transformers

from experiments.bench_readers import results
from mem_alpha import mesh
from mem_alpha import structs
from mem_alpha.models import gguf
from mem_alpha.readers import asking
from mem_alpha.readers import base
from mem_alpha.readers import failures
from mem_alpha.readers import local
from mem_alpha.readers import prompt
from mem_alpha.rollout import continuations
from mem_alpha.rollout import sampler

QUESTIONS, ENTRIES, NEW_TOKENS, TAIL, PREFIX = 20, 20, 16, 64, 1536


def real_memories(data: pathlib.Path, count: int):
  """(memories, questions): the first sentences of SQuAD articles."""
  squad = json.loads((data / 'raw/squad/dev-v1.1.json').read_text())
  stores, questions = [], []
  for article in squad['data'][:count]:
    paragraphs = article['paragraphs']
    text = ' '.join(p['context'] for p in paragraphs[:8])
    sentences = re.split(r'(?<=[.!?])\s+', text)[:ENTRIES]
    stores.append(
      [
        structs.Entry(structs.Kind.SEMANTIC, i, sentence, 0, 0, i)
        for i, sentence in enumerate(sentences)
      ]
    )
    asked = [qa['question'] for p in paragraphs for qa in p['qas']]
    questions.append(asked[:QUESTIONS])
  memories = base.Memories(
    [''] * count,
    lambda queries: [[s] * len(q) for s, q in zip(stores, queries)],
  )
  return memories, questions


class _Peer:
  """transformers in the place of the sampler."""

  def __init__(self, path: pathlib.Path, pad: int, end: int):
    self.model = transformers.AutoModelForCausalLM.from_pretrained(
      path.parent, gguf_file=path.name, dtype=torch.float32
    ).eval()
    self.pad, self.end = pad, end

  def __call__(self, groups):
    return [self._group(prefix, tails) for prefix, tails in groups]

  def _group(self, prefix, tails):
    rows = [prefix + tail for tail in tails]
    width = max(map(len, rows))
    ids = torch.tensor([[self.pad] * (width - len(r)) + r for r in rows])
    real = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows])
    with torch.inference_mode():
      out = self.model.generate(
        input_ids=ids,
        attention_mask=real,
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        eos_token_id=self.end,
        pad_token_id=self.pad,
      )
    said = []
    for row in out[:, width:].tolist():
      said.append(row[: row.index(self.end)] if self.end in row else row)
    return said


def run(args):
  if not args.gguf or 'MEM_ALPHA_DATA' not in os.environ:
    raise SystemExit('local needs --gguf and the variable MEM_ALPHA_DATA.')
  count = 1 if args.small else 2
  path = pathlib.Path(args.gguf)
  memories, questions = real_memories(
    pathlib.Path(os.environ['MEM_ALPHA_DATA']), count
  )
  with jax.set_mesh(mesh.make(-1, 1)):
    cfg, params, vocab = gguf.load(path)
    ours = continuations.Continuer(
      cfg,
      params,
      shape=continuations.Shape(count, QUESTIONS, PREFIX, TAIL),
      sampling=sampler.Sampling(0.0, NEW_TOKENS, vocab.end_of_turn, vocab.pad),
    )
    readers = []
    for generate in (ours, _Peer(path, vocab.pad, vocab.end_of_turn)):
      model = local.Local(generate, vocab, prefix=PREFIX, tail=TAIL)
      layout = prompt.Layout(
        lambda s: len(vocab.encode(s)),
        PREFIX,
        markup=local.markup_tokens(vocab),
        question_tokens=model.question_tokens,
      )
      readers.append(asking.Asking(model, layout, failures.Ledger(0.1)))
    total, pairs = sum(map(len, questions)), []
    readers[0](memories, questions)  # compiles
    for _ in range(args.runs):
      rates, answers = [], []
      for reader in readers:
        began = time.perf_counter()
        answers.append(reader(memories, questions))
        rates.append(total / (time.perf_counter() - began))
      pairs.append(tuple(rates))
  same = np.mean(
    [a.text == b.text for x, y in zip(*answers) for a, b in zip(x, y)]
  )
  results.add(
    'local/questions',
    'questions/s',
    pairs,
    peer=f'transformers {transformers.__version__}, torch {torch.__version__}',
    larger_is_better=True,
    write=not args.dry,
    same_answers=float(same),
  )
