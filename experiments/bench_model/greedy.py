"""Greedy continuations of SmolLM2 equal those of transformers.

MEM_ALPHA_DATA=../shared/data python experiments/bench_model/greedy.py \
  --gguf=models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf

20 prompts of real text, 64 tokens each, float32, the same weights on both
sides. Where the two part, the two best scores must lie closer than --tie; each
such place is listed in greedy.json, and what follows it is not compared.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile

import jax
import numpy as np
import torch
import transformers

from mem_alpha.models import export
from mem_alpha.models import gguf
from mem_alpha.rollout import engine
from mem_alpha.rollout import sampler

OUTPUT = pathlib.Path(__file__).with_suffix('.json')


def prompts(tokenizer, count, length):
  """Beginnings of SQuAD paragraphs as one user turn."""
  path = pathlib.Path(os.environ['MEM_ALPHA_DATA']) / 'raw/squad/dev-v1.1.json'
  articles = json.loads(path.read_text(encoding='utf-8'))['data']
  texts = [article['paragraphs'][0]['context'] for article in articles]
  turn = '<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n'
  return [
    tokenizer.encode_markup(turn.format(' '.join(text.split()[:40])))[:length]
    for text in texts[:count]
  ]


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument('--gguf', required=True)
  parser.add_argument('--prompts', type=int, default=20)
  parser.add_argument('--length', type=int, default=128)
  parser.add_argument('--new', type=int, default=64)
  parser.add_argument('--tie', type=float, default=1e-3)
  args = parser.parse_args()
  cfg, params, tokenizer = gguf.load(args.gguf)
  rows = prompts(tokenizer, args.prompts, args.length)
  respond = engine.Engine(
    cfg,
    params,
    sampling=sampler.Sampling(
      temperature=0.0,
      max_new_tokens=args.new,
      end_of_turn=tokenizer.end_of_turn,
      pad=tokenizer.pad,
    ),
    sizes=engine.Sizes(prompt_tokens=args.length, slots=len(rows)),
    prefix=rows[0][:3],  # the mark, the role and the break: all have them
  )
  keys_B = jax.vmap(jax.random.key)(np.arange(len(rows)))
  ours = respond(rows, keys_B)
  with tempfile.TemporaryDirectory() as folder:
    export.save(f'{folder}/model', cfg, params, tokenizer)
    model = transformers.AutoModelForCausalLM.from_pretrained(
      f'{folder}/model', dtype=torch.float32
    ).eval()
  parted, same, largest, total, gaps = [], 0, 0.0, 0, 0.0
  for number, (row, response) in enumerate(zip(rows, ours, strict=True)):
    # Its score of every token that we said, given what we said before.
    said = list(response.tokens)
    with torch.no_grad():
      scores = model(torch.tensor([row + said])).logits[0, len(row) - 1 : -1]
    logp = torch.log_softmax(scores, -1)
    best = logp.topk(2)
    for place, token in enumerate(said):
      gap = abs(response.logp[place] - logp[place, token].item())
      largest, gaps, total = max(largest, gap), gaps + gap, total + 1
      if best.indices[place, 0] == token:
        same += 1
        continue
      margin = (best.values[place, 0] - best.values[place, 1]).item()
      parted.append(dict(prompt=number, place=place, margin=margin))
      break
  result = {
    'command': ' '.join(['python', *sys.argv]),
    'prompts': len(rows),
    'tokens_that_are_the_same': same,
    'places_where_they_part': parted,
    'largest_log_prob_gap': largest,
    'mean_log_prob_gap': gaps / total,
  }
  OUTPUT.write_text(json.dumps(result, indent=2) + '\n', encoding='utf-8')
  print(json.dumps(result, indent=2))
  if any(place['margin'] >= args.tie for place in parted):
    sys.exit('They part where the two best scores are no tie.')


if __name__ == '__main__':
  main()
