"""A run's model, taken out of its work directory."""

import jax
import numpy as np
import pytest
import torch
import transformers

from mem_alpha import checkpoint
from mem_alpha import evaluate
from mem_alpha import export
from mem_alpha.models import decoder
from tests import tiny


@pytest.fixture(autouse=True)
def one_device():
  with tiny.one_device():
    yield


@pytest.fixture
def config(tiny_model):
  c = tiny.config()
  c.tokenizer.source, c.model.weights = 'model', str(tiny_model)
  c.export.dtype = 'float32'
  return c


@pytest.mark.parametrize('rank', [0, 2])
def test_the_policy_is_what_is_exported(rank, config, tmp_path, capsys):
  """Adapters too: transformers knows nothing of them."""
  config.lora.rank = rank
  parts = evaluate.Parts(config, tmp_path)
  rng = np.random.default_rng(0)
  trained = jax.tree.map(
    lambda x: x + rng.normal(scale=0.3, size=x.shape).astype(x.dtype),
    parts.first_params(),
  )
  with checkpoint.Store(tmp_path / 'checkpoints') as store:
    store.snapshot('best', 1, {'params': trained}, {})
  export.run(config, tmp_path)
  assert f'grpo is in {tmp_path / "hf"}' in capsys.readouterr().out

  model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / 'hf')
  tokens_BT = rng.integers(0, parts.cfg.vocab_size, (2, 16))
  with torch.no_grad():
    got_BTV = model(torch.tensor(tokens_BT)).logits.numpy()
  params = parts.policy(trained)
  x_BTD = decoder.forward(
    parts.cfg, params, tokens_BT, np.ones(tokens_BT.shape, np.int32)
  )
  want_BTV = decoder.logits(parts.cfg, params, x_BTD)
  np.testing.assert_allclose(got_BTV, want_BTV, atol=1e-4, rtol=1e-4)

  # And this project starts from it as from any other model.
  config.lora.rank, config.model.weights = 0, str(tmp_path / 'hf')
  again = evaluate.Parts(config, tmp_path / 'next').first_params()
  assert jax.tree.all(jax.tree.map(np.array_equal, again, params))


def test_what_cannot_be_exported_is_one_sentence(config, tmp_path):
  with pytest.raises(FileNotFoundError, match='has no checkpoints to export'):
    export.run(config, tmp_path)
  (tmp_path / 'checkpoints').mkdir()
  with pytest.raises(FileNotFoundError, match="no snapshot called 'best'"):
    export.run(config, tmp_path)
  config.export.system = 'perfect'
  with pytest.raises(ValueError, match="export.system='perfect' is no model"):
    export.run(config, tmp_path)
  assert not (tmp_path / 'hf').exists()
