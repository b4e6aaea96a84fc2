"""Instances of a classification task: labelled examples, then new sentences.

Labels are numbers, and their names are never shown. In training each instance
numbers the labels anew, so that a number must be learnt from the examples; the
test keeps the benchmark's numbers.

Sentences of the task's own training file are dealt to the splits by the hash
of their text (four tenths to training, one to validation, five to the test),
the same text once. Questions of the test are those that MemoryAgentBench lists
and those of the official test file; no example has the text of one of them.
The published split knows no such care: its training instances show the
sentences of the benchmark and ask its questions.
"""

import dataclasses
import math
import random
from collections.abc import Sequence

from mem_alpha import structs
from mem_alpha.data import benchmark
from mem_alpha.data import chunking
from mem_alpha.data import recipe as recipes
from mem_alpha.data import splits
from mem_alpha.data import wording

TEXT = 'Sentence: {text}\nLabel: {number}'
QUESTION = (
  'Sentence: {text}\n\nWhich label does this sentence have? Answer with the '
  'number of the label.'
)


@dataclasses.dataclass(frozen=True)
class Example:
  """A sentence with the name of its label."""

  name: str  # finds it in its file
  text: str
  label: str
  document: str = ''  # sentences of one document stay in one split


@dataclasses.dataclass(frozen=True)
class Task:
  """A classification task as read from its files."""

  source: str
  labels: tuple[str, ...]  # all there are, in their order
  train: Sequence[Example]
  test: Sequence[Example]  # of the official test file
  shown: str = TEXT  # how an example is written
  task: str = ''  # MemoryAgentBench's name of it begins so


def build(task: Task, recipe: recipes.Recipe) -> list[structs.Instance]:
  """Instances of a split, each drawn anew from its examples.

  The test has as many as its questions fill; training as many as the recipe
  says, else so many that each example is shown about once.
  """
  numbers = _benchmark_numbers(task, recipe)
  asked = _test_questions(task, recipe, numbers)
  # Whatever the benchmark asks in any task is shown in none.
  taken = {_key(question.text) for question in benchmark.listed(recipe)}
  pool = _pool(task, recipe, taken | {_key(e.text) for e in asked})
  fixed = recipe.split == 'test' or recipe.published
  counted = {e.text: recipe.size(_shown(task, e, 10)) for e in pool}
  if fixed:
    most = math.ceil(len(asked) / recipe.max_questions)
  else:
    most = max(1, sum(counted.values()) // recipe.budget)
  if recipe.split != 'test' or recipe.published:
    most = recipe.instances or most  # each is drawn anew
  instances = []
  for number in range(min(most, recipe.instances or most)):
    instance_id = f'{task.source}/{recipe.name}/{recipe.seed}/{number}'
    rng = random.Random(instance_id)
    order = rng.sample(pool, len(pool))
    if fixed:
      start = number * recipe.max_questions % max(1, len(asked))
      questions = asked[start : start + recipe.max_questions]
    else:
      order, questions = _part(order, recipe)
    maker = _Maker(task, recipe, instance_id, counted, rng)
    instances += maker.make(order, questions, numbers if fixed else None)
  if not instances:
    raise recipes.NoInstanceError(
      f'{task.source}, split {recipe.split!r}: {len(pool)} examples make no '
      f'instance of {recipe.budget} tokens with {recipe.min_questions} '
      'questions; raise data.chunk_tokens or data.tokens, or lower '
      'data.min_questions.'
    )
  return instances


def whole(task: Task, recipe: recipes.Recipe) -> structs.Instance:
  """All that the test may ask and show: an example is a chunk."""
  numbers = _benchmark_numbers(task, recipe)
  asked = _test_questions(task, recipe, numbers)
  pool = _pool(task, recipe, {_key(example.text) for example in asked})
  return structs.Instance(
    task.source,
    task.source,
    tuple(_shown(task, e, numbers[e.label]) for e in pool),
    tuple(_question(task, e, numbers) for e in asked),
  )


def _key(text: str) -> str:
  return ' '.join(text.lower().split())


def _shown(task: Task, example: Example, number: int) -> str:
  return task.shown.format(text=example.text, number=number)


def _question(task: Task, example: Example, numbers) -> structs.Question:
  return structs.Question(
    QUESTION.format(text=example.text),
    (str(numbers[example.label]),),
    task.source,
    'boxed',
  )


def _benchmark_numbers(task: Task, recipe) -> dict[str, int]:
  """Label -> number: the benchmark's where known, the free ones for others."""
  known = {}
  if task.task:
    known = benchmark.label_numbers(recipe, task.task)
    for label in [name for name in known if name not in task.labels]:
      recipe.leave_out(
        task.source,
        f'{benchmark.LABEL_MAPS}: {label}',
        'label not in the files',
      )
  known = {label: n for label, n in known.items() if label in task.labels}
  taken = set(known.values())
  free = (n for n in range(len(task.labels) + len(taken)) if n not in taken)
  return {
    label: known[label] if label in known else next(free)
    for label in task.labels
  }


def _test_questions(task, recipe, numbers) -> list[Example]:
  """Listed questions first; each text once."""
  names = {str(number): label for label, number in numbers.items()}
  known = benchmark.label_numbers(recipe, task.task) if task.task else {}
  found = {}
  for question in benchmark.listed(recipe, task.task) if task.task else ():
    label = names.get(question.golds[0])
    if label in known:
      found[_key(question.text)] = Example(question.name, question.text, label)
    else:
      reason = 'label outside the map'
      recipe.leave_out(task.source, question.name, reason)
  for example in task.test:
    found.setdefault(_key(example.text), example)
  return list(found.values())


def _pool(task, recipe, taken: set[str]) -> list[Example]:
  """Examples of the split, each text once, none of a test question."""
  found, labels = [], {}
  for example in task.train:
    key = _key(example.text)
    if key in labels:
      same = labels[key] == example.label
      reason = 'duplicate text' if same else 'duplicate text, other label'
      recipe.log.leave_out(task.source, example.name, reason)
      continue
    labels[key] = example.label
    if key in taken and not recipe.published:
      recipe.log.leave_out(task.source, example.name, 'is a test question')
    elif recipe.published or recipe.split == splits.of(
      example.document or key, validation=10, test=50
    ):
      found.append(example)
  if not found:
    raise recipes.NoInstanceError(
      f'{task.source} at {recipe.root} has no example of the split '
      f'{recipe.split!r}.'
    )
  return found


def _part(order, recipe) -> tuple[list[Example], list[Example]]:
  """Examples to show and sentences to ask about, none of them both."""
  count = min(recipe.max_questions, len(order) // 2)
  return order[count:], order[:count]


@dataclasses.dataclass(frozen=True)
class _Maker:
  """Makes one instance."""

  task: Task
  recipe: recipes.Recipe
  instance_id: str
  counted: dict[str, int]  # tokens of each example as shown
  rng: random.Random

  def make(
    self,
    examples: Sequence[Example],
    questions: Sequence[Example],
    numbers: dict[str, int] | None,
  ) -> list[structs.Instance]:
    """The instance, or none where too few questions can be asked."""
    task, recipe = self.task, self.recipe
    first = {}  # an example of each label
    for example in examples:
      first.setdefault(example.label, example)
    first = self._affordable(list(first.values()), questions)
    labels = [e.label for e in first]
    if numbers is None:
      order = self.rng.sample(range(len(labels)), len(labels))
      numbers = dict(zip(labels, order))
    affordable = set(labels)
    more = [e for e in examples if e.label in affordable]
    (chunks,) = recipe.reach(
      lambda room: (self._pack(self._enough(first, more, room), numbers),),
      self._room(),
    )
    texts = [unit.text for chunk in chunks for unit in chunk.units]
    if len(set(texts)) < len(texts):
      reason = 'examples are shown more than once'
      recipe.change(task.source, self.instance_id, reason)
    shown = {
      unit.owner for chunk in chunks for unit in chunk.units if unit.last
    }
    asked = [q for q in questions if numbers.get(q.label) in shown]
    for question in questions:
      if numbers.get(question.label) not in shown:
        reason = 'no example of its label fits'
        place = f'{self.instance_id}: {question.name}'
        recipe.leave_out(task.source, place, reason)
    if len(asked) < recipe.min_questions:
      reason = f'fewer than {recipe.min_questions} questions'
      recipe.leave_out(task.source, self.instance_id, reason)
      return []
    return [
      structs.Instance(
        self.instance_id,
        task.source,
        tuple(chunk.text for chunk in chunks),
        tuple(_question(task, q, numbers) for q in asked),
      )
    ]

  def _affordable(self, first, questions) -> list[Example]:
    """As many labels as take up to half of the instance, asked ones first."""
    wanted = {q.label for q in questions}
    first.sort(key=lambda e: e.label not in wanted)
    kept, used = [], 0
    for example in first:
      if len(kept) < 2 or used + self.counted[example.text] <= self._room() / 2:
        kept.append(example)
        used += self.counted[example.text]
    if len(kept) < len(first):
      reason = f'{len(kept)} of {len(first)} labels fit'
      self.recipe.change(self.task.source, self.instance_id, reason)
    return kept

  def _enough(self, first, examples, room: int) -> list[Example]:
    """Examples that fill an instance; each label early; again if need be."""
    rng = random.Random(f'{self.instance_id}/order')
    room -= sum(self.counted[e.text] for e in first)
    taken = set(first)
    fresh, chosen = [e for e in examples if e not in taken], []
    while room > 0 and (fresh or examples):
      for example in fresh:
        room -= self.counted[example.text]
        if room < 0:
          break
        chosen.append(example)
      if room > 0:
        fresh = rng.sample(examples, len(examples))
    head = first + chosen[: len(chosen) // 2]
    return rng.sample(head, len(head)) + chosen[len(chosen) // 2 :]

  def _room(self) -> int:
    """Tokens of examples, the dialogue around them not counted."""
    recipe = self.recipe
    frame = recipe.count_tokens(self._render()(0, ()))
    smallest = recipe.min_chunk_tokens or recipe.chunk_tokens
    chunks = recipe.budget / ((smallest + recipe.chunk_tokens) / 2)
    if not recipe.tokens:  # the last chunks must not stay empty
      return recipe.budget
    return max(1, round(recipe.budget - frame * chunks))

  def _render(self) -> chunking.Render:
    return chunking.dialogue_render(
      self.instance_id, wording.LABELLED, wording.REPLIES, separator='\n\n'
    )

  def _pack(self, examples, numbers) -> list[chunking.Chunk]:
    units = (
      chunking.Unit(
        _shown(self.task, example, numbers[example.label]),
        numbers[example.label],
      )
      for example in examples
    )
    return list(
      chunking.pack(
        units,
        self.recipe.targets(random.Random(f'{self.instance_id}/sizes')),
        limit=self.recipe.chunk_tokens,
        count_tokens=self.recipe.count_tokens,
        size=self.recipe.size,
        render=self._render(),
      )
    )
