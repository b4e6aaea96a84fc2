"""One batch of episodes: chunks in, tool calls out, questions at the end.

1. Every rollout starts with an empty memory.
2. For each chunk: render memory and chunk into a prompt, get a response from
   the writer, parse its tool calls, apply them in one jitted call.
3. After the last chunk: the reader answers all questions from the memory. A
   reader that overlaps does so while other rollouts still sample, reading.py.

The writer is a function from prompts to responses: a sampled model in training
and evaluation, a script in the warm start and the reference rows. Nothing else
differs between them. Rows of a batch that have no instance, or whose instance
has no more chunks, get an empty prompt, and what is sampled there is dropped.
"""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mem_alpha import metrics
from mem_alpha import structs
from mem_alpha import text as text_lib
from mem_alpha.agent import encoding
from mem_alpha.agent import parser
from mem_alpha.agent import prompts
from mem_alpha.agent import tools
from mem_alpha.memory import ops as memory_ops
from mem_alpha.memory import retrieval
from mem_alpha.memory import state as memory_state
from mem_alpha.readers import base
from mem_alpha.rewards import content as content_reward
from mem_alpha.rollout import reading


@dataclasses.dataclass(frozen=True)
class Spec:
  """Everything about an episode that stays the same for the whole run."""

  parts: prompts.PromptParts
  encoder: encoding.Encoder
  limits: memory_ops.Limits
  pool_tokens: int  # capacity of a memory, in LM tokens
  pool_terms: int  # ... in words
  rows: int  # ... in versions of entries
  prompt_tokens: int  # length limit of a prompt
  max_calls: int  # calls per turn that are executed
  turn_tokens: int  # content tokens per turn that fit the op buffers
  show: int  # entries per kind in the view
  top_k: int  # entries per kind that a search returns
  max_queries: int  # questions per memory in one search
  query_words: int  # words of a query that count
  idf: str  # weight of a word, one of retrieval.IDF


@dataclasses.dataclass(frozen=True)
class Context:
  """What a scripted writer may look at; a model sees the prompt alone."""

  instance: structs.Instance
  chunk: int
  rows: Sequence[memory_state.Row]


@dataclasses.dataclass(frozen=True)
class Response:
  """Sampled ids (end-of-turn included, if reached) and their log-probs."""

  tokens: tuple[int, ...]
  logp: tuple[float, ...]
  finished: bool
  ending: int = 1  # tokens that end it, if finished: they are no text


# prompts (empty where the row has nothing to do), contexts (None there), chunk
Writer = Callable[[list[list[int]], list[Context | None], int], list[Response]]


@dataclasses.dataclass
class Turn:
  """One response to one chunk, and what became of it."""

  row: int
  chunk: int
  prompt: list[int]
  response: Response
  text: str
  calls: list[structs.Call]
  statuses: list[structs.Status]
  uids: list[int]  # of the entry that an accepted call acted on, else NO_ID
  token_subjects: list[int]  # chunk line that each response token is about
  call_subjects: list[int]  # ... and each call; 0 where it names none
  passed: list[int]  # lines where the response should have gone on, but did not
  grounded: list[bool]  # one per accepted insert or update
  verdicts: list[bool | None]  # of the judge of contents, else `grounded`
  cut_tokens: int  # chunk tokens that did not fit the prompt


@dataclasses.dataclass
class Rollouts:
  """B episodes: their turns, final memories and answers."""

  instances: list[structs.Instance | None]
  turns: list[list[Turn]]  # per row, per chunk
  stored: list[memory_state.Memory]  # final, on the host
  entries: list[list[structs.Entry]]  # what they say
  cores: list[str]
  memory_tokens: list[int]
  chunk_tokens: list[int]
  memories: base.Memories  # what the reader saw
  answers: list[list[structs.Answer]]
  scores: list[list[float | None]]  # None where reader or judge failed
  history: list[list[list[structs.Entry]]]  # per chunk, per row; if asked for


class Runner:
  """Runs batches of episodes of one fixed size at compiled shapes."""

  def __init__(
    self, spec: Spec, tokenizer: text_lib.Tokenizer, *, batch: int, timer=None
  ):
    self.spec, self.tokenizer, self.batch = spec, tokenizer, batch
    timer = timer or metrics.Timer()
    self._render = timer.wrap('render', prompts.render)
    self._parse = timer.wrap('parse', self._parse)
    self._apply = timer.wrap('apply', self._apply)
    self._search = timer.wrap('search', self._search)
    self.terms = text_lib.Terms()
    self._texts: dict[tuple[int, ...], str] = {}
    self._chunks: dict[str, list[int]] = {}

  def run(
    self,
    instances: Sequence[structs.Instance | None],
    writer: Writer,
    panel: reading.Panel,
    *,
    keep_history: bool = False,
  ) -> Rollouts:
    """One episode per instance; `instances` has at most `batch` items."""
    return self.start(instances, writer, panel, keep_history=keep_history)()

  def start(
    self,
    instances: Sequence[structs.Instance | None],
    writer: Writer,
    panel: reading.Panel,
    *,
    keep_history: bool = False,
  ) -> Callable[[], Rollouts]:
    """`run` up to the last response; the result waits for what is asked.

    Between the two the next batch can be sampled.
    """
    instances = list(instances) + [None] * (self.batch - len(instances))
    memory = self._empty()
    turns: list[list[Turn]] = [[] for _ in instances]
    history = []
    asked = reading.Reading(panel)
    chunks = max(len(i.chunks) for i in instances if i)
    for c in range(chunks):
      memory = self._turn(memory, instances, c, writer, turns)
      if panel.judge:
        asked.judge([t[c] for t in turns if len(t) > c], instances)
      if keep_history:
        history.append([self._entries(rows) for rows in self._rows(memory)])
      last = c + 1 == chunks
      done = asked.done(instances, c, last=last)
      if done or last:
        # The next turn overwrites what it is given.
        kept = memory if last else jax.tree.map(jnp.copy, memory)
        final = jax.device_get(kept)
        rows = memory_state.snapshot(final)
        entries = [self._entries(r) for r in rows]
        memories = self._memories(kept, entries)
        asked.read(done, memories, instances)

    def finish() -> Rollouts:
      read = asked.results(len(instances))
      return Rollouts(
        instances=instances,
        turns=turns,
        stored=[
          jax.tree.map(lambda x, i=i: x[i], final)
          for i in range(len(instances))
        ],
        entries=entries,
        cores=list(memories.cores),
        memory_tokens=[sum(len(row.tokens) for row in r) for r in rows],
        chunk_tokens=[
          sum(len(self._encode(c)) for c in i.chunks) if i else 0
          for i in instances
        ],
        memories=memories,
        answers=[r.answers for r in read],
        scores=[r.scores for r in read],
        history=history,
      )

    return finish

  def _memories(self, memory, entries) -> base.Memories:
    """What a reader sees of a batch of memories."""
    cores = [_core(e) for e in entries]
    return base.Memories(cores, lambda q: self._search(memory, entries, q))

  def _empty(self):
    s = self.spec
    return memory_state.empty_batch(
      self.batch, tokens=s.pool_tokens, terms=s.pool_terms, rows=s.rows
    )

  def _turn(self, memory, instances, chunk, writer, turns):
    """Prompt, respond, parse, apply: one chunk for every row."""
    rows = self._rows(memory)
    prompt_ids, contexts, cuts = [], [], []
    for i, instance in enumerate(instances):
      ids, cut, context = [], 0, None
      if instance and chunk < len(instance.chunks):
        context = Context(instance, chunk, rows[i])
        ids, cut = self._render(
          self.spec.parts,
          rows[i],
          self._encode(instance.chunks[chunk]),
          max_tokens=self.spec.prompt_tokens,
          show=self.spec.show,
        )
      prompt_ids.append(ids)
      contexts.append(context)
      cuts.append(cut)
    responses = writer(prompt_ids, contexts, chunk)
    new = {}
    for i, context in enumerate(contexts):
      if context is not None:
        text, calls, about = self._parse(
          responses[i], context.instance.chunks[chunk]
        )
        new[i] = Turn(
          row=i,
          chunk=chunk,
          prompt=prompt_ids[i],
          response=responses[i],
          text=text,
          calls=calls,
          statuses=[call.status for call in calls],
          uids=[structs.NO_ID] * len(calls),
          **about,
          grounded=[],
          verdicts=[],
          cut_tokens=cuts[i],
        )
    memory = self._apply(memory, new, chunk)
    for i, turn in new.items():
      chunk_text = contexts[i].instance.chunks[chunk]
      turn.grounded = content_reward.judge(
        turn.calls,
        turn.statuses,
        chunk=chunk_text,
        core=self._core_text(rows[i]),
      )
      turn.verdicts = list(turn.grounded)
      turns[i].append(turn)
    return memory

  def _parse(self, response: Response, chunk: str):
    ids = list(response.tokens)
    if response.finished:
      ids = ids[: len(ids) - response.ending]
    text = self.tokenizer.decode(ids)
    calls = parser.parse(
      text,
      finished=response.finished,
      max_calls=self.spec.max_calls,
      enabled=self.spec.limits.enabled,
      profile=self.spec.parts.profile,
    )
    subjects = parser.subjects(text)
    call_lines = parser.call_lines(text, profile=self.spec.parts.profile)
    jumps = parser.jumps(text, tools.count_lines(chunk))
    lines = self._token_lines(ids)
    token_subjects = [subjects[line] for line in lines]
    for line, passed in jumps.items():
      # Its first token stands where the line passed over should have begun.
      token_subjects[lines.index(line)] = passed
    return (
      text,
      calls,
      dict(
        token_subjects=token_subjects + [0] * (len(response.tokens) - len(ids)),
        call_subjects=[subjects[line] for line in call_lines],
        passed=list(jumps.values()),
      ),
    )

  def _token_lines(self, ids: Sequence[int]) -> list[int]:
    """The line, from 0, that each token ends on (its own break not counted)."""
    line, lines = 0, []
    for token in ids:
      text = self._decode((token,))
      lines.append(line + text.rstrip('\n').count('\n'))
      line += text.count('\n')
    return lines

  def _apply(self, memory, turns: dict[int, Turn], chunk: int):
    """Executes the well-formed calls and writes their statuses back."""
    encoded: list[list[memory_ops.EncodedCall]] = [
      [] for _ in range(self.batch)
    ]
    places: list[list[int]] = [[] for _ in range(self.batch)]
    for i, turn in turns.items():
      for place, call in enumerate(turn.calls):
        if call.status != structs.Status.OK:
          continue
        encoded[i].append(self.spec.encoder(call, self.terms))
        places[i].append(place)
    packed = memory_ops.pack(
      encoded,
      self.spec.max_calls,
      self.spec.turn_tokens,
      self.spec.turn_tokens,
    )
    memory, status_BO, uid_BO = memory_ops.apply_turn(
      memory, packed, chunk, limits=self.spec.limits
    )
    status_BO, uid_BO = np.asarray(status_BO), np.asarray(uid_BO)
    for i, turn in turns.items():
      for o, place in enumerate(places[i]):
        turn.statuses[place] = structs.Status(int(status_BO[i, o]))
        turn.uids[place] = int(uid_BO[i, o])
    return memory

  def _search(self, memory, entries, queries: base.Queries) -> base.Hits:
    """BM25 over each memory on the device, `max_queries` at a time."""
    s = self.spec
    by_order = [{e.order: e for e in row} for row in entries]
    hits: base.Hits = [[] for _ in queries]
    most = max((len(row) for row in queries), default=0)
    for start in range(0, most, s.max_queries):
      part = [row[start : start + s.max_queries] for row in queries]
      words_BQW = np.full(
        (self.batch, s.max_queries, s.query_words), -1, np.int32
      )
      for b, row in enumerate(part):
        for q, query in enumerate(row):
          ids = self.terms.find(query)[: s.query_words]
          words_BQW[b, q, : len(ids)] = ids
      found = []
      for kind in (structs.Kind.SEMANTIC, structs.Kind.EPISODIC):
        if s.limits.enabled[kind]:
          rows_BQK, _ = retrieval.top_k(
            memory, words_BQW, kind=kind, k=s.top_k, idf=s.idf
          )
          found.append(np.asarray(rows_BQK))
      rows_BQK = np.concatenate(found, -1) if found else None
      for b, row in enumerate(part):
        for q in range(len(row)):
          orders = rows_BQK[b, q] if found else ()
          hits[b].append([by_order[b][o] for o in orders if o >= 0])
    return hits

  def _rows(self, memory) -> list[list[memory_state.Row]]:
    return memory_state.snapshot(jax.device_get(memory))

  def _entries(self, rows) -> list[structs.Entry]:
    return [
      structs.Entry(
        structs.Kind(row.kind),
        row.uid,
        self._decode(row.tokens),
        row.created,
        row.updated,
        row.order,
        len(row.tokens),
      )
      for row in rows
    ]

  def _core_text(self, rows) -> str:
    return _core(
      self._entries([r for r in rows if r.kind == structs.Kind.CORE])
    )

  def _decode(self, tokens: tuple[int, ...]) -> str:
    if tokens not in self._texts:
      if len(self._texts) >= 1 << 16:
        self._texts.clear()
      self._texts[tokens] = self.tokenizer.decode(tokens)
    return self._texts[tokens]

  def _encode(self, chunk: str) -> list[int]:
    if chunk not in self._chunks:
      if len(self._chunks) >= 1 << 12:
        self._chunks.clear()
      self._chunks[chunk] = self.tokenizer.encode(chunk)
    return self._chunks[chunk]


def _core(entries: Sequence[structs.Entry]) -> str:
  return ''.join(e.text for e in entries if e.kind == structs.Kind.CORE)
