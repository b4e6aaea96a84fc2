"""Conflict resolution as in MemoryAgentBench: facts that later facts override.

Built from any list of facts: `$root/conflict/facts.jsonl`, one JSON object per
line with subject, relation and object, and if wanted the words of it as
`statement` and `question`. MQuAKE's own files (`MQuAKE-CF*.json`, the source of
the published contexts) are read too. Facts of `facts.jsonl` and of MQuAKE make
the test; training needs a list of its own, `facts_train.jsonl`, of which the
subjects are dealt to training and validation.

Facts are numbered in the order in which they are told. Where the list has no
later fact on a matter, half of the matters asked about get one: another object
that occurs with the relation. Single-hop questions ask for the object that was
told last, multi-hop ones follow two such facts or more.
"""

import dataclasses
import random
from collections.abc import Sequence

from mem_alpha import files
from mem_alpha import structs
from mem_alpha.data import chunking
from mem_alpha.data import questions as filters
from mem_alpha.data import recipe as recipes
from mem_alpha.data import wording

NAME = 'conflict'
FACTS, TRAINING = 'conflict/facts.jsonl', 'conflict/facts_train.jsonl'
MQUAKE = 'MQuAKE-CF*.json'

Matter = tuple[str, str]  # subject, relation


@dataclasses.dataclass(frozen=True)
class Fact:
  """What is so: the relation of the subject is the object."""

  subject: str
  relation: str
  object: str
  statement: str  # with {} for the object
  question: str

  @property
  def matter(self) -> Matter:
    return self.subject, self.relation

  @property
  def line(self) -> str:
    return self.statement.replace('{}', self.object)


@dataclasses.dataclass(frozen=True)
class Hops:
  """A question whose answer is found by following relations from a subject."""

  text: str
  subject: str
  relations: tuple[str, ...]


def build(recipe: recipes.Recipe) -> list[structs.Instance]:
  facts, hops = _read(recipe)
  if not facts:
    raise recipes.NoInstanceError(
      f'{NAME} at {recipe.root} has no fact of the split {recipe.split!r}.'
    )
  instances = []
  for number in range(recipe.instances or 1):
    instance_id = f'{NAME}/{recipe.name}/{recipe.seed}/{number}'
    maker = _Maker(recipe, instance_id, random.Random(instance_id))
    instances += maker.make(facts, hops)
  if not instances:
    raise recipes.NoInstanceError(
      f'{NAME}, split {recipe.split!r}: {len(facts)} facts leave fewer than '
      f'{recipe.min_questions} questions; lower data.min_questions.'
    )
  return instances


def whole(recipe: recipes.Recipe) -> structs.Instance:
  """All facts of the test, and what may be asked about them."""
  facts, hops = _read(recipe)
  asked = [(f.question, f.object) for f in facts] + [(h.text, '') for h in hops]
  questions = (structs.Question(q, (a,), NAME, 'substring') for q, a in asked)
  lines = '\n'.join(fact.line for fact in facts)
  return structs.Instance(NAME, NAME, (lines,), tuple(questions))


def _read(recipe) -> tuple[list[Fact], list[Hops]]:
  if recipe.split != 'test':
    facts = [
      fact
      for fact in _read_list(recipe, TRAINING)
      if recipe.holds(fact.subject, benchmark=False)
    ]
    return facts, _two_hops(facts)
  paths = sorted(recipe.read(NAME).glob(MQUAKE))
  facts, hops = [], []
  for path in paths:
    for case in files.read_json(path, what='MQuAKE'):
      try:
        told, question = _mquake(case)
      except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(
          f'MQuAKE at {path}: a case is not in the upstream layout '
          f'({type(error).__name__}: {error}).'
        ) from error
      facts += told
      hops.append(question)
  if not paths or recipe.read(FACTS).is_file():
    listed = _read_list(recipe, FACTS)
    facts += listed
    hops += _two_hops(listed)
  return list(dict.fromkeys(facts)), list(dict.fromkeys(hops))


def _read_list(recipe, name: str) -> list[Fact]:
  found = {}
  for number, row in files.read_json_lines(recipe.read(name), what='Facts'):
    try:
      s, r, o = (row[k].strip() for k in ('subject', 'relation', 'object'))
    except (AttributeError, KeyError, TypeError) as error:
      raise ValueError(
        f'Facts at {recipe.read(name)}: line {number} lacks subject, relation '
        f'or object ({type(error).__name__}: {error}).'
      ) from error
    place = f'{name}: line {number}'
    statement = row.get('statement', f'The {r} of {s} is {o}.')
    question = row.get('question', f'What is the {r} of {s}?')
    if not (isinstance(statement, str) and isinstance(question, str)):
      raise ValueError(
        f'Facts at {recipe.read(name)}: line {number} has a statement or '
        'question that is no text: write one, or leave the field out.'
      )
    if not (s and r and o):
      recipe.log.leave_out(NAME, place, 'empty field')
      continue
    if o not in statement:
      recipe.log.leave_out(NAME, place, 'statement without its object')
      continue
    if not question.strip():
      recipe.log.leave_out(NAME, place, 'empty question')
      continue
    fact = Fact(s, r, o, '{}'.join(statement.rsplit(o, 1)), question)
    if fact in found:
      recipe.log.leave_out(NAME, place, 'duplicate fact')
    found[fact] = None
  return list(found)


def _mquake(case: dict) -> tuple[list[Fact], Hops]:
  """Old facts of a case, then its new ones, and its question."""
  facts = []
  for triples, hops in (
    (case['orig']['triples_labeled'], case['single_hops']),
    (case['orig']['new_triples_labeled'], case['new_single_hops']),
  ):
    for (s, r, o), hop in zip(triples, hops, strict=True):
      facts.append(Fact(s, r, o, f'{hop["cloze"]} {{}}.', hop['question']))
  path = case['orig']['new_triples_labeled']
  relations = tuple(relation for _, relation, _ in path)
  return facts, Hops(case['questions'][0], path[0][0], relations)


def _two_hops(facts: Sequence[Fact]) -> list[Hops]:
  relations = {}
  for fact in facts:
    relations.setdefault(fact.subject, dict())[fact.relation] = None
  return [
    Hops(
      f'What is the {second} of the {fact.relation} of {fact.subject}?',
      fact.subject,
      (fact.relation, second),
    )
    for fact in facts
    for second in relations.get(fact.object, ())
  ]


@dataclasses.dataclass(frozen=True)
class _Maker:
  """Makes one instance."""

  recipe: recipes.Recipe
  instance_id: str
  rng: random.Random

  def make(
    self, facts: Sequence[Fact], hops: Sequence[Hops]
  ) -> list[structs.Instance]:
    """The instance, or none where too few questions can be asked."""
    (chunks, told), repeated = self._length(facts)
    if repeated:
      reason = f'{repeated} tokens of filler repeat facts'
      self.recipe.change(NAME, self.instance_id, reason)
    latest, objects = {}, {}
    for fact in told:
      latest[fact.matter] = fact
      objects.setdefault(fact.matter, set()).add(fact.object)
    overridden = [matter for matter in latest if len(objects[matter]) > 1]
    half = max(1, self.recipe.max_questions // 2)
    single = [
      structs.Question(
        latest[matter].question,
        (latest[matter].object,),
        'conflict_single_hop',
        'substring',
      )
      for matter in self.rng.sample(overridden, len(overridden))
    ]
    multi = [
      structs.Question(h.text, (answer,), 'conflict_multi_hop', 'substring')
      for h in self.rng.sample(list(hops), len(hops))
      if (answer := _follow(h, latest)) is not None
    ]
    asked = list({q.text: q for q in single[:half] + multi[:half]}.values())
    chosen = filters.choose(
      asked, self.recipe, source=NAME, instance_id=self.instance_id
    )
    texts = tuple(chunk.text for chunk in chunks)
    return [structs.Instance(self.instance_id, NAME, texts, chosen)] * bool(
      chosen
    )

  def _length(self, facts: Sequence[Fact]):
    """Chunks and the facts in them, and how many tokens repeat others."""
    whole = dataclasses.replace(self.recipe, tokens=self.recipe.budget)

    def fill(room):
      told, repeated = self._told(facts, room)
      return self._pack(told, whole), told, repeated

    chunks, told, repeated = whole.reach(fill, whole.budget)
    return (chunks, told), repeated

  def _told(self, facts: Sequence[Fact], room: int) -> tuple[list[Fact], int]:
    """Facts in the order in which they are told, as many as fit.

    Where all fit, those that nothing overrides come again.
    """
    rng = random.Random(f'{self.instance_id}/facts')
    by_matter, objects = {}, {}
    for fact in facts:
      by_matter.setdefault(fact.matter, []).append(fact)
      objects.setdefault(fact.relation, {})[fact.object] = None
    told, again, repeated = [], [], 0
    for matter in rng.sample(list(by_matter), len(by_matter)):
      group = by_matter[matter]
      others = [o for o in objects[matter[1]] if o != group[-1].object]
      if len(group) == 1 and others and rng.random() < 0.5:
        later = dataclasses.replace(group[0], object=rng.choice(others))
        group = [group[0], later]
      cost = sum(self._cost(fact) for fact in group)
      if cost <= room:
        room -= cost
        told += group
        again += group if len(group) == 1 else []
    fits = len({fact.matter for fact in told}) == len(by_matter)
    while fits and again and room >= min(map(self._cost, again)):
      for fact in rng.sample(again, len(again)):
        if self._cost(fact) <= room:
          told.append(fact)
          room -= self._cost(fact)
          repeated += self._cost(fact)
    return self._in_order(told, rng), repeated

  def _in_order(self, told: Sequence[Fact], rng) -> list[Fact]:
    """Shuffled, but of one matter the later fact stays the later one."""
    order = rng.sample(range(len(told)), len(told))
    places = {}
    for place, index in enumerate(order):
      places.setdefault(told[index].matter, []).append(place)
    result = list(told)
    for fact in told:
      result[places[fact.matter].pop(0)] = fact
    return result

  def _cost(self, fact: Fact) -> int:
    return self.recipe.size(f'\n99999. {fact.line}')

  def _render(self, index: int, units: Sequence[chunking.Unit]) -> str:
    render = chunking.dialogue_render(
      self.instance_id, wording.FACTS, wording.REPLIES, separator='\n'
    )
    return render(index, units)

  def _pack(self, told, whole: recipes.Recipe) -> list[chunking.Chunk]:
    units = (
      chunking.Unit(f'{number}. {fact.line}', number)
      for number, fact in enumerate(told)
    )
    return list(
      chunking.pack(
        units,
        whole.targets(random.Random(f'{self.instance_id}/sizes')),
        limit=self.recipe.chunk_tokens,
        count_tokens=self.recipe.count_tokens,
        size=self.recipe.size,
        render=self._render,
      )
    )


def _follow(hops: Hops, latest: dict[Matter, Fact]) -> str | None:
  """The answer by the latest facts; None where one is missing."""
  subject = hops.subject
  for relation in hops.relations:
    fact = latest.get((subject, relation))
    if fact is None:
      return None
    subject = fact.object
  return subject
