"""Files: errors in one sentence, writing all or nothing."""

import pytest

from mem_alpha import files


def test_missing_file_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'SQuAD is not at .*no\.json'):
    files.read_text(tmp_path / 'no.json', what='SQuAD')


@pytest.mark.parametrize(
  'content, words',
  [
    ('', 'is empty'),
    (' \n', 'is empty'),
    ('{"a": [1, 2', 'not complete JSON'),
    (
      'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n',
      'Git LFS pointer',
    ),
  ],
)
def test_broken_files_are_named(tmp_path, content, words):
  path = tmp_path / 'data.json'
  path.write_text(content)
  with pytest.raises(ValueError, match=words) as error:
    files.read_json(path, what='SQuAD')
  assert str(path) in str(error.value)
  assert '\n' not in str(error.value)


def test_binary_file_is_named(tmp_path):
  path = tmp_path / 'data.json'
  path.write_bytes(b'\xff\xfe\x00')
  with pytest.raises(ValueError, match='not UTF-8'):
    files.read_json(path, what='SQuAD')


def test_json_lines_name_the_line(tmp_path):
  path = tmp_path / 'data.jsonl'
  path.write_text('{"a": 1}\n\n{"a": \n')
  lines = files.read_json_lines(path, what='HotpotQA')
  assert next(lines) == (1, {'a': 1})
  with pytest.raises(ValueError, match='line 3'):
    next(lines)


def test_json_lines_keep_unusual_line_breaks(tmp_path):
  path = tmp_path / 'data.jsonl'
  files.write_text(path, '{"a": "x\u2028y"}\n')
  values = [v for _, v in files.read_json_lines(path, what='Data')]
  assert values == [{'a': 'x\u2028y'}]


def test_a_failed_write_leaves_the_old_file(tmp_path):
  path = tmp_path / 'new' / 'file.txt'
  files.write_text(path, 'old')
  with pytest.raises(UnicodeEncodeError):
    files.write_text(path, 'a lone surrogate: \ud800')
  assert path.read_text() == 'old'
  files.write_text(path, 'ä\r\n')
  assert path.read_bytes() == 'ä\r\n'.encode()
  assert [p.name for p in path.parent.iterdir()] == ['file.txt']
