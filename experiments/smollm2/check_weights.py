"""Our reading of the SmolLM2 GGUF file against that of transformers.

pip install accelerate  # transformers asks for it to read GGUF
python -m third_party.fetch smollm2 models/smollm2
python experiments/smollm2/check_weights.py \
  --gguf=models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf

Both sides load the same file: ours with numpy and JAX, theirs with torch. On
real text from $MEM_ALPHA_DATA and on strings made to be awkward, it compares
token ids, and log-probabilities of every token of the vocabulary at every
position. transformers passes over the name of this file's pre-tokenizer
('smollm': single digits are split off before anything else, in llama.cpp as in
the model's own tokenizer.json), which shows where blanks precede a digit; ids
are therefore compared twice, with its tokenizer as it comes and with that one
step put in front. The figures go to check_weights.json beside this file.
"""

import argparse
import csv
import importlib.metadata
import json
import os
import pathlib
import platform
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import torch
import transformers
from tokenizers import pre_tokenizers

from mem_alpha.models import decoder
from mem_alpha.models import gguf

OUTPUT = pathlib.Path(__file__).with_suffix('.json')
PACKAGES = 'jax numpy gguf tokenizers torch transformers accelerate'.split()
TURN = '<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n'
ALPHABET = list('ab éßΩ中🙂e\u0301\u00a0\u200d\t\r\n  0129²Ⅷ½.,\'"!_-#{}<|>')


def real_texts(data: pathlib.Path) -> list[list[str]]:
  """Paragraphs, questions in latin-1, and chat messages."""
  raw = data / 'raw'
  squad = json.loads((raw / 'squad/dev-v1.1.json').read_text(encoding='utf-8'))
  paragraphs = [
    paragraph['context']
    for article in squad['data']
    for paragraph in article['paragraphs'][:8]
  ]
  questions = (raw / 'trec/TREC_10.label').read_text(encoding='latin-1')
  with (raw / 'banking77/test.csv').open(encoding='utf-8') as file:
    messages = [row['text'] for row in csv.DictReader(file)]
  return [paragraphs, questions.splitlines(), messages]


def awkward_texts(count: int) -> list[str]:
  """Random strings of whitespace, digits, accents, emoji and markup."""
  rng = np.random.default_rng(0)
  return [
    ''.join(rng.choice(ALPHABET, rng.integers(1, 40))) for _ in range(count)
  ]


def compare_ids(ours, theirs, texts, awkward) -> dict:
  """How many texts get the same ids, in both readings of the file."""
  split = theirs.backend_tokenizer.pre_tokenizer
  digits = pre_tokenizers.Digits(individual_digits=True)
  result = {'real_texts': len(texts), 'awkward_texts': len(awkward)}
  for label, pre_tokenizer in (
    ('as_it_comes', split),
    ('with_digits_split', pre_tokenizers.Sequence([digits, split])),
  ):
    theirs.backend_tokenizer.pre_tokenizer = pre_tokenizer
    for group, items in (('real', texts), ('awkward', awkward)):
      result[f'{group}_differing_{label}'] = sum(
        theirs(TURN.format(item))['input_ids']
        != ours.encode_markup(TURN.format(item))
        for item in items
      )
  result['decoded_otherwise'] = sum(
    ours.decode(ours.encode(item)) != item for item in [*texts, *awkward]
  )
  return result


def compare_log_probs(cfg, params, model, rows, *, batch=8) -> dict:
  """Largest gaps over all rows, positions and tokens of the vocabulary."""

  @jax.jit
  def ours(params, tokens_BT, valid_BT):
    x_BTD = decoder.forward(cfg, params, tokens_BT, valid_BT.astype(jnp.int32))
    return jax.nn.log_softmax(decoder.logits(cfg, params, x_BTD))

  largest, targets, same, total = 0.0, 0.0, 0, 0
  rows = sorted(rows, key=len)
  for start in range(0, len(rows), batch):
    length = -(-len(rows[min(start + batch, len(rows)) - 1]) // 16) * 16
    tokens_BT = np.zeros((batch, length), np.int32)
    valid_BT = np.zeros((batch, length), bool)
    for i, row in enumerate(rows[start : start + batch]):
      tokens_BT[i, : len(row)] = row
      valid_BT[i, : len(row)] = True
    mine_BTV = np.asarray(ours(params, tokens_BT, valid_BT))
    with torch.no_grad():
      scores = model(
        torch.tensor(tokens_BT, dtype=torch.long),
        attention_mask=torch.tensor(valid_BT, dtype=torch.long),
      ).logits
    theirs_BTV = torch.log_softmax(scores.float(), -1).numpy()
    gap_BTV = np.abs(mine_BTV - theirs_BTV)
    largest = max(largest, float(gap_BTV[valid_BT].max()))
    next_BT = np.roll(tokens_BT, -1, 1)[..., None]
    follows_BT = valid_BT & np.pad(valid_BT[:, 1:], ((0, 0), (0, 1)))
    gap_BT = np.take_along_axis(gap_BTV, next_BT, -1)[..., 0]
    targets = max(targets, float(gap_BT[follows_BT].max()))
    agree_BT = mine_BTV.argmax(-1) == theirs_BTV.argmax(-1)
    same += int(agree_BT[valid_BT].sum())
    total += int(valid_BT.sum())
  return {
    'texts': len(rows),
    'positions': total,
    'largest_gap_any_token': largest,
    'largest_gap_next_token': targets,
    'positions_with_the_same_best_token': same,
  }


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument('--gguf', type=pathlib.Path, required=True)
  parser.add_argument('--texts', type=int, default=201, help='for log-probs')
  parser.add_argument('--length', type=int, default=32, help='tokens of each')
  args = parser.parse_args()
  if 'MEM_ALPHA_DATA' not in os.environ:
    parser.error('set MEM_ALPHA_DATA to the folder that holds raw/')
  started = time.time()
  cfg, params, tokenizer = gguf.load(args.gguf)
  where = dict(gguf_file=args.gguf.name)
  theirs = transformers.AutoTokenizer.from_pretrained(args.gguf.parent, **where)
  model = transformers.AutoModelForCausalLM.from_pretrained(
    args.gguf.parent, dtype=torch.float32, **where
  ).eval()
  kinds = real_texts(pathlib.Path(os.environ['MEM_ALPHA_DATA']))
  rng = np.random.default_rng(0)
  chosen = [rng.choice(kind, args.texts // len(kinds), False) for kind in kinds]
  rows = [
    tokenizer.encode_markup(TURN.format(item))[: args.length]
    for item in np.concatenate(chosen).tolist()
  ]
  result = {
    'command': ' '.join(['python', *sys.argv]),
    'file': args.gguf.name,
    'machine': f'{platform.machine()} CPU, {os.cpu_count()} cores',
    'versions': {name: importlib.metadata.version(name) for name in PACKAGES},
    'tokenizer': compare_ids(
      tokenizer, theirs, sum(kinds, []), awkward_texts(1000)
    ),
    'log_probs': compare_log_probs(cfg, params, model, rows),
  }
  result['seconds'] = round(time.time() - started)
  OUTPUT.write_text(json.dumps(result, indent=2) + '\n', encoding='utf-8')
  print(json.dumps(result, indent=2))


if __name__ == '__main__':
  main()
