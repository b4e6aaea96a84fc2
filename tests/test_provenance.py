import json
import subprocess

from mem_alpha import provenance


def git(folder, *arguments):
  settings = ['-c', 'user.name=x', '-c', 'user.email=x@y.z']
  subprocess.run(['git', *settings, *arguments], cwd=folder, check=True)


def test_commit_of_a_checkout_and_of_none(tmp_path):
  assert provenance._commit(tmp_path) is None
  git(tmp_path, 'init', '-q')
  (tmp_path / 'a').write_text('1')
  git(tmp_path, 'add', 'a')
  git(tmp_path, 'commit', '-q', '-m', 'x')
  clean = provenance._commit(tmp_path)
  assert clean and not clean.endswith('+')
  (tmp_path / 'a').write_text('2')
  assert provenance._commit(tmp_path) == clean + '+'


def test_description_is_json_and_names_no_folder():
  found = provenance.describe()
  assert json.loads(json.dumps(found)) == found
  assert {'command', 'commit', 'machine', 'devices', 'jax'} < set(found)
