"""Generated conversations with known answers: the embedded tier's data.

An instance is a row of dated dialogue chunks. Among their sentences are facts,
changes of earlier facts, dated events, labelled examples, topics, and *small
talk*: chatter, mentions without information, and guesses or denials that look
like facts and are false. A good memory keeps the first five and not the last.

Four kinds of question (MemoryAgentBench, arXiv 2507.05257): accurate retrieval
(one hop, dated, two hops), test-time learning, long range, conflict resolution.

Splits share no name and no value (names are pairs of syllables, divided by a
residue) and no combination of sentence frame and relation; every word of a
validation or test frame occurs in training. `instance(spec, split, seed, i)`
depends on nothing but its arguments.
"""

import bisect
import collections
import dataclasses
import datetime
import random
from collections.abc import Sequence

from mem_alpha import structs
from mem_alpha.agent import tools
from mem_alpha.data import vocabulary

SPLITS = ('train', 'validation', 'test')
KINDS = (
  'accurate_retrieval',
  'test_time_learning',
  'long_range',
  'conflict_resolution',
)


# Asked in two ways: in a reward that is the mean over questions this kind then
# weighs as much as changes and labels do.
_ABOUT = (
  'What was it all about?',
  'What were the main topics?',
)
_DRAWS = 8  # chunks to choose from, for each sentence


@dataclasses.dataclass(frozen=True)
class Spec:
  """How much of what an instance holds; counts are per `chunks` chunks.

  Each unit of `facts` is a chain of two facts (for a two-hop question), one
  plain fact and `changes` facts that are changed once later.
  """

  chunks: int = 5
  facts: int = 1
  changes: int = 2
  events: int = 1
  classes: int = 2
  examples: int = 2  # per class
  topics: int = 4
  small_talk: int = 13
  max_questions: int = 100

  def __post_init__(self):
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      least = field.name not in ('changes', 'events', 'small_talk')
      most = vocabulary.SHARED['themes'] if field.name == 'classes' else value
      if not least <= value <= most:
        raise ValueError(
          f'{field.name}={value} is out of range for generated data: it must '
          f'be {"1" if least else "0"} or more, and classes at most '
          f'{vocabulary.SHARED["themes"]}.'
        )


def scaled(spec: Spec, tokens: int, tokens_per_chunk: int = 77) -> Spec:
  """About `tokens` tokens of chunks (1k to 500k and up).

  Facts, events and small talk grow with the chunks; classes and topics do not,
  and small talk, if there is any, takes their place, so that chunks stay as
  long as they were.
  """
  times = max(1, round(tokens / tokens_per_chunk / spec.chunks))
  grow = ('chunks', 'facts', 'events', 'small_talk')
  grown = {name: getattr(spec, name) * times for name in grow}
  if spec.small_talk:
    fixed = spec.classes * spec.examples + spec.topics
    grown['small_talk'] += (times - 1) * fixed
  return dataclasses.replace(spec, **grown)


def instance(spec: Spec, split: str, seed: int, index: int) -> structs.Instance:
  """The `index`-th conversation of a split, made from the arguments alone."""
  if split not in SPLITS:
    raise ValueError(f'split {split!r} is unknown; use one of {SPLITS}.')
  rng = random.Random(f'{seed}/{split}/{index}')
  build = _Builder(spec, split, rng)
  build.add_facts()
  build.add_events()
  build.add_examples()
  build.add_topics()
  build.add_small_talk()
  chunks, notes = build.layout()
  questions = build.questions
  if len(questions) > spec.max_questions:
    questions = _even(rng.sample(questions, len(questions)), spec.max_questions)
  return structs.Instance(
    instance_id=f'synthetic-{split}-{seed}-{index}',
    source='synthetic',
    chunks=chunks,
    questions=tuple(questions),
    notes=notes,
  )


def _even(questions, count: int) -> list[structs.Question]:
  """The first `count`, the kinds taking turns as long as they last."""
  seen, turns = collections.Counter(), []
  for question in questions:
    turns.append(seen[question.kind])
    seen[question.kind] += 1
  order = sorted(range(len(questions)), key=turns.__getitem__)
  return [questions[place] for place in order[:count]]


class _Builder:
  """Collects notes with a time, in chunks, then lays them out over chunks."""

  def __init__(self, spec: Spec, split: str, rng: random.Random):
    self.spec, self.split, self.rng = spec, split, rng
    self.pool = list(vocabulary.pairs(split))
    self.next_name = 0
    self.placed: list[tuple[float, structs.Note]] = []
    self.about = [set() for _ in range(spec.chunks)]  # what sentences end with
    self.load = [0] * spec.chunks  # sentences so far
    self.questions: list[structs.Question] = []
    self.slots = collections.deque()  # (subject, relation) of facts
    count = self.count('relations', vocabulary.RELATIONS)
    self.relations = rng.sample(vocabulary.RELATIONS[:count], count)
    self.themes: list[int] = []  # themes that have a label here

  def name(self) -> str:
    """A name not used so far; middle syllables once the short ones run out."""
    turn, place = divmod(self.next_name, len(self.pool))
    self.next_name += 1
    if not turn:  # shuffled as far as it is used
      other = self.rng.randrange(place, len(self.pool))
      self.pool[place], self.pool[other] = self.pool[other], self.pool[place]
    start, end = self.pool[place]
    middle = ''
    while turn:
      turn, digit = divmod(turn - 1, len(vocabulary.STARTS))
      middle += vocabulary.STARTS[digit].lower()
    return start + middle + end

  def count(self, kind: str, words) -> int:
    """How many relations, events or themes this split may use."""
    return len(words) if self.split == 'train' else vocabulary.SHARED[kind]

  def draw(self, kind: str, words) -> int:
    return self.rng.randrange(self.count(kind, words))

  def sentence(self, family: str, relation: int, **words: str) -> str:
    allowed = vocabulary.frames(self.split, family, relation)
    return self.rng.choice(allowed).format(**words)

  def _of(self, family: str, *, r: str, **words: str) -> str:
    """A sentence about a relation, by its name."""
    return self.sentence(family, vocabulary.RELATIONS.index(r), r=r, **words)

  def place(
    self,
    about: set[str],
    sentence: str,
    slot=None,
    kind=structs.Kind.SEMANTIC,
    *,
    low: float = 0.0,
    high: float = 1.0,
  ) -> float:
    """Adds a sentence between two times, shares of the conversation.

    Of a few chunks drawn it takes the emptiest that says nothing `about` the
    same yet, so that sentences of a chunk seldom end alike.
    """
    options = []
    for _ in range(_DRAWS):
      time = low + (high - low) * self.rng.random()  # below `high`
      c = int(time * self.spec.chunks)
      options.append((bool(about & self.about[c]), self.load[c], time, c))
    *_, time, c = min(options)
    self.about[c] |= about
    self.load[c] += 1
    self.placed.append((time, structs.Note(sentence, slot, kind)))
    return time

  def ask(self, text: str, answer: str, kind: str, metric: str = 'exact'):
    self.questions.append(structs.Question(text, (answer,), kind, metric))

  def fact(self, subject, relation, value, *, low=0.0, high=1.0, frame='fact'):
    words = dict(r=relation, s=subject, v=value)
    text = self._of(frame, **words)
    slot = (subject, relation)
    if frame == 'fact':
      self.slots.append((subject, relation))
    return self.place({subject, value}, text, slot, low=low, high=high)

  def add_facts(self):
    for _ in range(self.spec.facts):
      self._chain()
      subject, value = self.name(), self.name()
      relation = self._relation()
      self.fact(subject, relation, value)
      self.ask(_what(subject, relation), value, KINDS[0])
      for _ in range(self.spec.changes):
        self._change()

  def _chain(self):
    """Two facts, a question about each, and one that needs both."""
    person, other, value = self.name(), self.name(), self.name()
    first, second = self._relation(vocabulary.PERSONAL), self._relation()
    self.fact(person, first, other)
    self.fact(other, second, value)
    self.ask(_what(person, first), other, KINDS[0])
    self.ask(_what(other, second), value, KINDS[0])
    self.ask(_what(f'the {first} of {person}', second), value, KINDS[0])

  def _change(self):
    subject, old, new = self.name(), self.name(), self.name()
    relation = self._relation()
    time = self.fact(subject, relation, old, high=0.5)
    self.fact(subject, relation, new, low=time, frame='change')
    self.ask(_what(subject, relation), new, KINDS[3])

  def _relation(self, wanted=None) -> str:
    """The one that was used longest ago (of those wanted)."""
    for relation in self.relations:
      if wanted is None or relation in wanted:
        self.relations.remove(relation)
        self.relations.append(relation)
        return relation

  def add_events(self):
    for _ in range(self.spec.events):
      subject, value = self.name(), self.name()
      event = self.draw('events', vocabulary.EVENTS)
      date = _day(self.rng.randrange(366))
      words = dict(r=vocabulary.EVENTS[event], s=subject, v=value, d=date)
      text = self.sentence('event', event, **words)
      slot = (subject, vocabulary.EVENTS[event], date)
      self.place({subject}, text, slot, structs.Kind.EPISODIC)
      text = f'What was the {vocabulary.EVENTS[event]} of {subject} on {date}?'
      self.ask(text, value, KINDS[0])

  def add_examples(self):
    """Each class is a theme with a label; a question shares a theme word."""
    self.themes = self.rng.sample(
      range(self.count('themes', vocabulary.THEMES)), self.spec.classes
    )
    for theme in self.themes:
      label = self.name()
      nouns = list(vocabulary.THEMES[theme])
      self.rng.shuffle(nouns)
      for e in range(self.spec.examples):
        request = self._request(nouns[e % 3 : e % 3 + 2])
        text = self.sentence('example', theme, x=request, v=label)
        self.place({request.split()[-1]}, text, slot=('request', request))
      asked = self._request([nouns[1], nouns[-1]])
      text = f'What is the label of request {asked}?'
      self.ask(text, label, KINDS[1])

  def _request(self, nouns: list[str]) -> str:
    return ' '.join(self.rng.sample(nouns, 2))

  def add_topics(self):
    topics = [self.name() for _ in range(self.spec.topics)]
    for topic in topics:
      when = self.rng.randrange(len(vocabulary.TIMES))
      time = vocabulary.TIMES[when].capitalize()
      text = self.sentence('topic', when, v=topic, t=time)
      self.place({'topic'}, text, ('topic', topic), structs.Kind.CORE)
    for text in _ABOUT:
      self.ask(text, ' '.join(topics), KINDS[2], 'token_f1')

  def add_small_talk(self):
    kinds = ('rumour', 'mention', 'rumour', 'wrong_example', 'chatter')
    self.rng.shuffle(self.slots)
    for n in range(self.spec.small_talk):
      self.place(*getattr(self, f'_{kinds[n % len(kinds)]}')())

  def _next_slot(self):
    """Facts take turns at being talked about."""
    self.slots.append(self.slots.popleft())
    return self.slots[-1]

  def _rumour(self):
    subject, relation = self._next_slot()
    words = dict(r=relation, s=subject, v=self.name())
    return {subject}, self._of('rumour', **words)

  def _mention(self):
    subject, relation = self._next_slot()
    words = dict(r=relation, s=subject)
    return {subject}, self._of('mention', **words)

  def _wrong_example(self):
    theme = self.rng.choice(self.themes)
    request = self._request(self.rng.sample(vocabulary.THEMES[theme], 2))
    text = self.sentence('wrong_example', theme, x=request, v=self.name())
    return {request.split()[-1]}, text

  def _chatter(self):
    mood = self.rng.randrange(len(vocabulary.MOODS))
    when = self.rng.choice(vocabulary.TIMES)
    words = dict(m=vocabulary.MOODS[mood], t=when)
    return {when}, self.sentence('chatter', mood, **words)

  def layout(self):
    """Chunks as text, and the notes of each chunk in its sentence order."""
    placed = sorted(self.placed, key=lambda item: item[0])
    times = [time for time, _ in placed]
    chunks, notes = [], []
    for c in range(self.spec.chunks):
      low = bisect.bisect_left(times, c / self.spec.chunks)
      high = bisect.bisect_left(times, (c + 1) / self.spec.chunks)
      members = [note for _, note in placed[low:high]]
      said = numbered([note.sentence for note in members])
      turn = self.rng.randint(1, max(1, len(members) - 1))
      lines = [f'[{_date(c)}]', 'User:', *said[:turn]]
      lines += ['Assistant:', *said[turn:]]
      chunks.append('\n'.join(lines) + '\n')
      notes.append(tuple(members))
    return tuple(chunks), tuple(notes)


def numbered(sentences: Sequence[str]) -> list[str]:
  """The lines of a chunk, numbered from 1."""
  return [f'{n}{tools.LINE_TAB}{s}' for n, s in enumerate(sentences, start=1)]


def _what(subject: str, relation: str) -> str:
  return f'What is the {relation} of {subject}?'


def _day(number: int) -> str:
  day = datetime.date(2024, 1, 1) + datetime.timedelta(days=number)
  return f'{day.day} {day:%B}'


def _date(chunk: int) -> str:
  day = datetime.date(2024, 1, 1) + datetime.timedelta(days=chunk)
  return f'{day.day} {day:%B} {day.year}'


class Dataset(Sequence):
  """`count` conversations of a split, made when they are asked for."""

  def __init__(self, spec: Spec, split: str, seed: int, count: int):
    self.spec, self.split, self.seed, self.count = spec, split, seed, count

  def __len__(self) -> int:
    return self.count

  def __getitem__(self, index):
    places = range(self.count)[index]
    if isinstance(places, range):
      return [instance(self.spec, self.split, self.seed, i) for i in places]
    return instance(self.spec, self.split, self.seed, places)
