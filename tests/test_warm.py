"""The warm start's turns: scripted, or said by another model before."""

import json

import pytest

from mem_alpha import evaluate
from mem_alpha import warm
from mem_alpha.rollout import record
from tests import tiny


def small_config():
  config = tiny.config()
  config.warm.steps, config.warm.instances = 1, 6
  config.sampling.max_new_tokens = 128  # no recorded turn is too long
  return config


def imitated(config, workdir):
  parts = evaluate.Parts(config, workdir)
  ((name, first, last, stream),) = warm.phases(parts, 0)
  assert (name, first, last) == ('imitate', 0, config.warm.steps)
  return parts, stream.turns


def test_turns_of_a_file_are_played_as_the_writer_that_said_them(tmp_path):
  config = small_config()
  parts, scripted = imitated(config, tmp_path)
  train = parts.instances('train', 6)[:]
  wanted = [(i.instance_id, c) for i in train for c in range(len(i.chunks))]
  assert len(wanted) == len(scripted) == 18
  said = [parts.tokenizer.decode(turn.response[:-1]) for turn in scripted]
  lines = [
    dict(instance_id=name, chunk=chunk, response=text, reward=1.0)
    for (name, chunk), text in zip(wanted, said)
  ]
  file = tmp_path / 'turns.jsonl'

  def write(lines):
    file.write_text(''.join(json.dumps(line) + '\n' for line in lines))

  config.warm.turns_file = str(file)
  write(reversed(lines))
  assert imitated(config, tmp_path)[1] == scripted
  write(lines[1:])  # of the first instance a turn is missing
  assert imitated(config, tmp_path)[1] == scripted[3:]
  write([line | dict(instance_id='other') for line in lines])
  with pytest.raises(ValueError, match='of none of the training instances'):
    imitated(config, tmp_path)


def test_a_file_of_turns_is_read_by_instance_and_chunk(tmp_path):
  file = tmp_path / 'turns.jsonl'
  turn = dict(instance_id='a', chunk=1, response='Done')
  refused = dict(instance_id='a', chunk=0, too_long=['much'])
  file.write_text(f'{json.dumps(turn)}\n{json.dumps(refused)}\n')
  assert record.read(file) == {('a', 1): 'Done'}
  file.write_text(json.dumps(dict(chunk=1)))
  with pytest.raises(ValueError, match='Line 1 of .* is no turn'):
    record.read(file)
