"""transformers' side: python torch_peer.py MODEL_DIRECTORY WORK.json"""

import json
import sys
import time

import torch
import transformers
import worker


class Torch:
  """transformers' generate, and a training step with its model."""

  def __init__(self, directory, work):
    self.work = work
    self.model = transformers.AutoModelForCausalLM.from_pretrained(
      directory, dtype=torch.float32
    )
    self.optimizer = None

  @torch.no_grad()
  def rollout(self, chunk):
    new = self.work['new_tokens']
    prompts = torch.tensor(self.work[chunk])
    out = self.model.eval().generate(
      prompts,
      attention_mask=torch.ones_like(prompts),
      generation_config=transformers.GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        min_new_tokens=new,
        max_new_tokens=new,
        eos_token_id=None,
        pad_token_id=0,
      ),
    )
    return {'tokens': out[:, prompts.shape[1] :].numel()}

  def update(self, shared):
    """The loss of mem_alpha's update: logits at response positions only."""
    turns = self.work['turns_shared' if shared else 'turns']
    if self.optimizer is None:
      self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-6)
    self.model.train()
    count = sum(len(response) for _, response in turns)
    size = self.work['micro_rows']
    total = 0.0
    for start in range(0, len(turns), size):
      part = turns[start : start + size]
      tokens = torch.tensor([prompt + response for prompt, response in part])
      target = torch.tensor([response for _, response in part])
      n = target.shape[1]
      hidden = self.model.model(tokens, use_cache=False).last_hidden_state
      logits = self.model.lm_head(hidden[:, -n - 1 : -1])
      logp = torch.log_softmax(logits, -1)
      logp = logp.gather(-1, target[..., None])[..., 0]
      ratio = torch.exp(logp + 1.0)
      bounded = ratio.clamp(0.8, 1.2)
      loss = -torch.minimum(ratio, bounded).sum() / count
      loss.backward()
      total += loss.item()
    self.optimizer.step()
    self.optimizer.zero_grad(set_to_none=True)
    return {'tokens': sum(len(p) + len(r) for p, r in turns), 'loss': total}

  def peak(self):
    x = torch.randn(2048, 2048)
    times = []
    for _ in range(6):
      began = time.perf_counter()
      x @ x
      times.append(time.perf_counter() - began)
    return {'flops': 2 * 2048**3 / min(times)}


if __name__ == '__main__':
  with open(sys.argv[2], encoding='utf-8') as file:
    side = Torch(sys.argv[1], json.load(file))
  worker.serve(
    {'rollout': side.rollout, 'update': side.update, 'peak': side.peak}
  )
