"""Episodes: chunks in, tool calls out, questions at the end.

1. Every rollout starts with an empty memory.
2. For each chunk: render memory and chunk into a prompt, get a response from
   the writer, parse its tool calls, apply them in one jitted call.
3. After the last chunk: the reader answers all questions from the memory. A
   reader that overlaps does so while other rollouts still sample, reading.py.

There are as many episodes in progress as a batch has rows. One that ends gives
its row to the next that waits, so rows stay busy where lengths differ, and few
episodes end, and are read, at the very end.

The writer is a function from prompts to responses: a sampled model in training
and evaluation, a script in the warm start and the reference rows. Nothing else
differs between them. A row that has nothing to do gets an empty prompt, and
what is sampled there is dropped.
"""

import collections
import dataclasses
from collections.abc import Callable, Sequence

import jax

from mem_alpha import metrics
from mem_alpha import structs
from mem_alpha import text as text_lib
from mem_alpha.agent import encoding
from mem_alpha.agent import parser
from mem_alpha.agent import prompts
from mem_alpha.agent import tools
from mem_alpha.memory import ops as memory_ops
from mem_alpha.memory import state as memory_state
from mem_alpha.readers import base
from mem_alpha.rewards import content as content_reward
from mem_alpha.rollout import pools
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
  number: int  # of the turn among all of these episodes, for its random draws


@dataclasses.dataclass(frozen=True)
class Response:
  """Sampled ids (end-of-turn included, if reached) and their log-probs."""

  tokens: tuple[int, ...]
  logp: tuple[float, ...]
  finished: bool
  ending: int = 1  # tokens that end it, if finished: they are no text


# prompts (empty where the row has nothing to do), contexts (None there)
Writer = Callable[[list[list[int]], list[Context | None]], list[Response]]


@dataclasses.dataclass
class Turn:
  """One response to one chunk, and what became of it."""

  row: int  # of its episode, in the order of the instances
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
  """Episodes in the order of their instances; every list is one per episode."""

  instances: list[structs.Instance]
  turns: list[list[Turn]]  # per chunk
  stored: list[memory_state.Memory]  # final, on the host
  entries: list[list[structs.Entry]]  # what they say
  cores: list[str]
  memory_tokens: list[int]
  chunk_tokens: list[int]
  memories: base.Memories  # what the reader saw
  answers: list[list[structs.Answer]]
  scores: list[list[float | None]]  # None where reader or judge failed
  history: list[list[list[structs.Entry]]]  # entries per chunk; if asked for


@dataclasses.dataclass
class _Row:
  """What a row of the batch works on."""

  episode: int
  instance: structs.Instance
  chunk: int = 0

  @property
  def last(self) -> bool:
    return self.chunk + 1 == len(self.instance.chunks)

  def after(self) -> '_Row | None':
    """The next chunk of the episode; None behind its last."""
    if self.last:
      return None
    return dataclasses.replace(self, chunk=self.chunk + 1)


class Runner:
  """Runs episodes, `batch` at a time, at compiled shapes."""

  def __init__(
    self, spec: Spec, tokenizer: text_lib.Tokenizer, *, batch: int, timer=None
  ):
    self.spec, self.tokenizer, self.batch = spec, tokenizer, batch
    timer = timer or metrics.Timer()
    self.pools = pools.Pools(spec, tokenizer, batch=batch, timer=timer)
    self._render = timer.wrap('render', prompts.render)
    self._parse = timer.wrap('parse', self._parse)
    self._chunks: dict[str, list[int]] = {}

  def run(
    self,
    instances: Sequence[structs.Instance],
    writer: Writer,
    panel: reading.Panel,
    *,
    keep_history: bool = False,
  ) -> Rollouts:
    """One episode per instance."""
    return self.start(instances, writer, panel, keep_history=keep_history)()

  def start(
    self,
    instances: Sequence[structs.Instance],
    writer: Writer,
    panel: reading.Panel,
    *,
    keep_history: bool = False,
  ) -> Callable[[], Rollouts]:
    """`run` up to the last response; the result waits for what is asked.

    Episodes begin in the order of their instances. Between the two the next
    ones can be sampled.
    """
    instances = list(instances)
    waiting = collections.deque(enumerate(instances))
    rows: list[_Row | None] = [None] * self.batch
    memory, kept = self.pools.empty(), [[] for _ in rows]
    turns: list[list[Turn]] = [[] for _ in instances]
    history: list[list] = [[] for _ in instances]
    final, stored = {}, {}  # by episode: its last rows, and their memory
    asked = reading.Reading(panel)
    while waiting or any(rows):
      free = [r for r, row in enumerate(rows) if row is None][: len(waiting)]
      for r in free:
        rows[r], kept[r] = _Row(*waiting.popleft()), []
      if free:
        memory = self.pools.clear(memory, free)
      memory = self._turn(memory, rows, kept, writer, turns)
      host = jax.device_get(memory)
      kept = memory_state.snapshot(host)
      busy = {r: row for r, row in enumerate(rows) if row}
      if panel.judge:
        new = [turns[row.episode][-1] for row in busy.values()]
        asked.judge(new, instances)
      if keep_history:
        for r, row in busy.items():
          history[row.episode].append(self.pools.entries(kept[r]))
      ended = {r: row for r, row in busy.items() if row.last}
      for r, row in ended.items():
        final[row.episode] = kept[r]
        stored[row.episode] = jax.tree.map(lambda x, r=r: x[r].copy(), host)
      if ended and asked.at_once:
        self._ask(memory, kept, ended, asked)
      rows = [row.after() if row else None for row in rows]
    final, stored = (
      [by_episode[e] for e in range(len(instances))]
      for by_episode in (final, stored)
    )
    entries = [self.pools.entries(rows) for rows in final]
    memories = self.pools.kept_memories(stored, entries)
    if not asked.at_once:
      asked.read(memories, list(enumerate(instances)))

    def finish() -> Rollouts:
      read = asked.results(len(instances))
      return Rollouts(
        instances=instances,
        turns=turns,
        stored=stored,
        entries=entries,
        cores=list(memories.cores),
        memory_tokens=[sum(len(row.tokens) for row in r) for r in final],
        chunk_tokens=[
          sum(len(self._encode(c)) for c in i.chunks) for i in instances
        ],
        memories=memories,
        answers=[r.answers for r in read],
        scores=[r.scores for r in read],
        history=history,
      )

    return finish

  def _ask(self, memory, kept, ended, asked: reading.Reading) -> None:
    """Asks the questions of the episodes that some rows have ended."""
    episodes = [None] * self.batch
    for r, row in ended.items():
      episodes[r] = row.episode, row.instance
    entries = [self.pools.entries(rows) for rows in kept]
    # The next turn overwrites what it is given.
    asked.read(
      self.pools.memories(self.pools.copied(memory), entries), episodes
    )

  def _turn(self, memory, rows, kept, writer, turns):
    """Prompt, respond, parse, apply: the next chunk of every row's episode."""
    prompt_ids, contexts, cuts = [], [], []
    for row, entries in zip(rows, kept):
      ids, cut, context = [], 0, None
      if row:
        number = row.chunk * len(turns) + row.episode
        context = Context(row.instance, row.chunk, entries, number)
        ids, cut = self._render(
          self.spec.parts,
          entries,
          self._encode(row.instance.chunks[row.chunk]),
          max_tokens=self.spec.prompt_tokens,
          show=self.spec.show,
        )
      prompt_ids.append(ids)
      contexts.append(context)
      cuts.append(cut)
    responses = writer(prompt_ids, contexts)
    new: list[Turn | None] = [None] * self.batch
    for r, row in enumerate(rows):
      if row:
        text, calls, about = self._parse(
          responses[r], row.instance.chunks[row.chunk]
        )
        new[r] = Turn(
          row=row.episode,
          chunk=row.chunk,
          prompt=prompt_ids[r],
          response=responses[r],
          text=text,
          calls=calls,
          statuses=[call.status for call in calls],
          uids=[structs.NO_ID] * len(calls),
          **about,
          grounded=[],
          verdicts=[],
          cut_tokens=cuts[r],
        )
    chunk_B = [row.chunk if row else 0 for row in rows]
    memory = self.pools.apply(memory, new, chunk_B)
    for row, turn, entries in zip(rows, new, kept):
      if row:
        turn.grounded = content_reward.judge(
          turn.calls,
          turn.statuses,
          chunk=row.instance.chunks[row.chunk],
          core=self._core(entries),
        )
        turn.verdicts = list(turn.grounded)
        turns[row.episode].append(turn)
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
      text = self.pools.decode((token,))
      lines.append(line + text.rstrip('\n').count('\n'))
      line += text.count('\n')
    return lines

  def _core(self, rows) -> str:
    return pools.core(
      self.pools.entries([r for r in rows if r.kind == structs.Kind.CORE])
    )

  def _encode(self, chunk: str) -> list[int]:
    if chunk not in self._chunks:
      if len(self._chunks) >= 1 << 12:
        self._chunks.clear()
      self._chunks[chunk] = self.tokenizer.encode(chunk)
    return self._chunks[chunk]
