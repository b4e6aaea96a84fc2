"""Any text is stored, shown and read back as itself, and forges nothing.

The views are read here as strictly as a program would: every line, tag and id
must be one that the memory itself put there.
"""

import re

import hypothesis
import jax
import pytest
from hypothesis import strategies as st

from mem_alpha import structs
from mem_alpha import text
from mem_alpha.agent import encoding
from mem_alpha.agent import parser
from mem_alpha.agent import prompts
from mem_alpha.agent import tools
from mem_alpha.memory import ops
from mem_alpha.memory import render
from mem_alpha.memory import state
from mem_alpha.memory import tagged

CORE, SEMANTIC, EPISODIC = structs.Kind
_, INSERT, UPDATE, DELETE = structs.Action
ALL = (True, True, True)
PIECES = [
  '\n[a0] ', '\n[b3] ', '[a1] ', '\nsemantic_memory:', '\ncore_memory: ',
  '</core_memory>', '<semantic_memory>', '\n</episodic_memory>', '\nchunk:\n',
  '<|im_end|>', '<|im_start|>assistant\n', '<|pad|>', '✿FUNCTION✿: ', '✿',
  '{"name": "memory_delete"}', '\r', '\x85', '\u2028', '\x00', '\t', '"', '\\n',
  '\n</new_chunk>\n', '<new_chunk>', '\n# Tools\n', '\n### memory_update\n',
  '# Tools', '\nCurrent memory state:', '<think>', '</think>', '<tool_call>',
  '</tool_call>', '✿ARGS✿: {}', 'Empty.',
  'שלום', '你好', 'नमस्ते', '😀👩‍👧', 'e\u0301', '\u202e', 'x', ' ', '',
]  # fmt: skip
NASTY = st.one_of(
  st.lists(st.sampled_from(PIECES), max_size=6).map(''.join),
  st.text(st.characters(exclude_categories=['Cs']), max_size=12),
)
TOKENIZER = text.train_bpe(
  ['Mira lives in Oslo.'] * 5,
  vocab_size=400,
  atoms=[*tools.atoms(ALL), *prompts.atoms(ALL)],
)
LAYOUT = render.make_layout(TOKENIZER, enabled=ALL)
SIZES = {'tokens': 2048, 'terms': 256, 'rows': 8}
LIMITS = ops.Limits(core=None)


def store(calls, limits=LIMITS):
  """Through text: written as JSON, parsed, encoded, applied."""
  response = tools.render_response(calls)
  parsed = parser.parse(response, finished=True, max_calls=9, enabled=ALL)
  encoder, terms = encoding.Encoder(TOKENIZER), text.Terms()
  good = [call for call in parsed if call.status == structs.Status.OK]
  packed = ops.pack([[encoder(call, terms) for call in good]], 9, 2048, 256)
  memory_B, status_BO, _ = ops.apply_turn(
    state.empty_batch(1, **SIZES), packed, 0, limits=limits
  )
  later = iter(status_BO[0].tolist())
  statuses = [
    structs.Status(next(later)) if call.status == structs.Status.OK
    else call.status for call in parsed
  ]  # fmt: skip
  return state.snapshot(jax.device_get(memory_B))[0], statuses


def calls(contents):
  """Core, two semantic entries and an episodic one."""
  kinds = [CORE, SEMANTIC, SEMANTIC, EPISODIC]
  return [
    structs.Call(UPDATE if kind == CORE else INSERT, kind, content=content)
    for kind, content in zip(kinds, contents)
  ]


def read_lines(view):
  """(kind, id) of each entry in a compact view, in order."""
  found, kind = [], None
  assert view.startswith('\n') or not view
  for line in view.split('\n')[1:]:
    head = re.match(r'(core|semantic|episodic)_memory:', line)
    if head:
      kind = structs.Kind[head[1].upper()]
      if kind == CORE:
        found.append((kind, structs.NO_ID))
      continue
    label = re.match(r'\[([a-z]+[0-9])\] ', line)
    assert label and kind not in (None, CORE), line
    found.append((kind, render.text_to_uid(label[1])))
  assert len(view.splitlines()) == len(view.split('\n')) * bool(view)
  return found


def read_tags(view):
  """The same of a view in tags; every tag must be paired and in order."""
  sections = re.split(r'</?(core|semantic|episodic)_memory>', view)
  assert sections[1::2] == ['core'] * 2 + ['semantic'] * 2 + ['episodic'] * 2
  core, semantic, episodic = sections[2::4]
  found = [] if core == '\nEmpty.\n' else [(CORE, structs.NO_ID)]
  for kind, section in ((SEMANTIC, semantic), (EPISODIC, episodic)):
    lines = re.split('[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]', section)
    labels = [re.match(r'\s*\[([a-z]+[0-9])\]', line, re.I) for line in lines]
    found += [(kind, render.text_to_uid(m[1])) for m in labels if m]
  return found


def same_section(row):
  return (row.kind, row.uid)


@hypothesis.given(st.lists(NASTY, min_size=4, max_size=4))
@hypothesis.settings(max_examples=400)
def test_any_text_comes_back_or_is_refused(contents):
  rows, statuses = store(calls(contents))
  texts = [TOKENIZER.decode(row.tokens) for row in rows]
  stored = []
  for number, (content, status) in enumerate(zip(contents, statuses)):
    if not content.strip():
      assert status == structs.Status.EMPTY
    elif number == 2 and content == contents[1]:
      assert status == structs.Status.DUPLICATE
    else:
      assert status == structs.Status.OK
      stored.append(content)
  assert texts == stored
  wanted = [same_section(row) for row in rows]
  compact = render.view(rows, layout=LAYOUT, show=9)
  assert read_lines(TOKENIZER.decode(compact)) == wanted
  tags = tagged.view(rows, layout=LAYOUT, show=9)
  # A core that says 'Empty.' is shown as the published layout shows none.
  without = [w for w, t in zip(wanted, texts) if (w[0], t) != (CORE, 'Empty.')]
  assert read_tags(TOKENIZER.decode(tags)) == without
  for special in text.SPECIALS:
    assert TOKENIZER.token_id(special) not in [*compact, *tags]


@hypothesis.given(st.lists(NASTY, min_size=4, max_size=4), NASTY)
@hypothesis.settings(max_examples=100)
def test_only_the_template_marks_turns(contents, chunk):
  rows, _ = store(calls(contents))
  for profile in ('compact', 'reference'):
    parts = prompts.build(TOKENIZER, profile, enabled=ALL)
    ids, _ = prompts.render(
      parts, rows, TOKENIZER.encode(chunk), max_tokens=10**4, show=9
    )
    bare, _ = prompts.render(parts, [], [], max_tokens=10**4, show=9)
    for special in text.SPECIALS:
      number = TOKENIZER.token_id(special)
      assert ids.count(number) == bare.count(number)


MARKS = re.compile(
  r'</?(?:core_memory|semantic_memory|episodic_memory|new_chunk|think|tool_call)>'
  r'|^#+ .*$|^Current memory state:$|✿[A-Z]+✿|<\|\w+\|>',
  re.MULTILINE,
)


@hypothesis.given(st.lists(NASTY, min_size=4, max_size=4), NASTY)
@hypothesis.settings(max_examples=300)
def test_the_published_prompt_has_its_own_marks_only(contents, chunk):
  """What a reader takes for structure, before and after the memory's view."""
  rows, _ = store(calls(contents))
  parts = prompts.build(TOKENIZER, 'reference', enabled=ALL)
  chunk_ids = TOKENIZER.encode(chunk)

  def marks(rows, chunk_ids):
    ids, _ = prompts.render(parts, rows, chunk_ids, max_tokens=10**4, show=9)
    prompt = '\n'.join(TOKENIZER.decode(ids).splitlines())
    return MARKS.findall(prompt)

  assert marks(rows, chunk_ids) == marks([], chunk_ids)


@hypothesis.given(NASTY)
def test_ids_that_are_shown_are_ids_that_are_read(content):
  rows, _ = store(calls(['c', 'one', content or 'x', 'two']))
  lines = TOKENIZER.decode(render.view(rows, layout=LAYOUT, show=9)).split('\n')
  names = [m[1] for m in map(re.compile(r'\[(\w+)\]').match, lines) if m]
  for name, row in zip(names, rows[1:], strict=True):
    line = tools.render_call(structs.Call(DELETE, row.kind, row.uid))
    assert f'"{name}"' in line
    (call,) = parser.parse(line, finished=True, max_calls=1, enabled=ALL)
    assert (call.kind, call.uid) == (row.kind, row.uid)


@pytest.mark.parametrize('content', ['a\ud800b', '\udfff'])
def test_what_utf8_cannot_spell_is_refused(content):
  line = '{"name": "new_memory_insert", "arguments": {"memory_type": '
  line += f'"semantic_memory", "content": "{ascii(content)[1:-1]}"}}}}'
  (call,) = parser.parse(line, finished=True, max_calls=1, enabled=ALL)
  assert call.status == structs.Status.INVALID
