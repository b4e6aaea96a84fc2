"""SQuAD 1.1: questions about Wikipedia paragraphs.

Read from `$root/squad/train-v1.1.json`, `dev-v1.1.json`, or both, in the
official format. The splits share no title. RULER-QA1 asks of the articles of
SQuAD 2.0's development file, so these are the test split; the hash of a title
decides about the others. Paragraphs keep their order, the seed orders titles.
"""

from mem_alpha import files
from mem_alpha import structs
from mem_alpha.data import recipe as recipes
from mem_alpha.data import splits
from mem_alpha.data.sources import passages

NAME = 'squad'
FILES = ('squad/train-v1.1.json', 'squad/dev-v1.1.json')

# The titles of dev-v2.0.json. The list stands here because a part of the file
# must not make an article of the benchmark one to train on.
BENCHMARK_TITLES = frozenset(
  '1973_oil_crisis Amazon_rainforest Black_Death Civil_disobedience'
  ' Computational_complexity_theory Construction Ctenophora'
  ' Economic_inequality European_Union_law Force French_and_Indian_War'
  ' Fresno,_California Geology Harvard_University Huguenot Immune_system'
  ' Imperialism Intergovernmental_Panel_on_Climate_Change Islamism'
  ' Jacksonville,_Florida Normans Oxygen Packet_switching Pharmacy'
  ' Prime_number Private_school Rhine Scottish_Parliament'
  ' Sky_(United_Kingdom) Southern_California Steam_engine'
  ' University_of_Chicago Victoria_(Australia) Warsaw Yuan_dynasty'.split()
)


def build(recipe: recipes.Recipe) -> list[structs.Instance]:
  """All instances of a split, each of exactly `chunks` chunks."""
  articles = {}
  for name in FILES:
    if recipe.read(name).is_file() or name == FILES[-1] and not articles:
      articles |= read(recipe, name)
  wanted = [
    title
    for title in articles
    if recipe.holds(title, benchmark=title in BENCHMARK_TITLES)
  ]
  if not wanted:
    raise recipes.NoInstanceError(
      f'SQuAD at {recipe.root} has no title of the split {recipe.split!r}.'
    )
  order = splits.shuffled(
    sorted(wanted), f'{NAME}/{recipe.split}/{recipe.seed}'
  )
  return passages.build(
    [item for title in order for item in articles[title]],
    recipe,
    source=NAME,
    mix=False,
  )


def read(recipe: recipes.Recipe, name: str) -> dict[str, list[passages.Item]]:
  """Title -> its paragraphs, each with its answerable questions."""
  path = recipe.read(name)
  value = files.read_json(path, what='SQuAD')
  articles, seen = {}, set()
  try:
    for order, article in enumerate(value['data']):
      items = articles.setdefault(article['title'], [])
      for number, paragraph in enumerate(article['paragraphs']):
        place = f'{name}: {order} {article["title"]}, paragraph {number}'
        if paragraph['context'].strip():
          items.append(_item(recipe, paragraph, place, seen))
        else:
          recipe.log.leave_out(NAME, place, 'empty paragraph')
  except (AttributeError, KeyError, TypeError) as error:
    raise ValueError(
      f'SQuAD at {path} is not in the official layout '
      f'({type(error).__name__}: {error}): download it again.'
    ) from error
  return articles


def _item(recipe, paragraph: dict, place: str, seen: set) -> passages.Item:
  questions = []
  for number, entry in enumerate(paragraph['qas']):
    # Annotators often agree; version 2.0 has questions without an answer.
    golds = dict.fromkeys(a['text'].strip() for a in entry['answers'])
    name = f'{place}, question {number}: {entry.get("id", "")}'
    if entry.get('id') and entry['id'] in seen:
      recipe.log.leave_out(NAME, name, 'duplicate id')
    elif not any(golds):
      recipe.log.leave_out(NAME, name, 'question without answer')
    else:
      seen.add(entry.get('id'))
      questions.append(
        structs.Question(
          entry['question'].strip(),
          tuple(filter(None, golds)),
          NAME,
          'token_f1',
        )
      )
  return passages.Item(place, (paragraph['context'].strip(),), tuple(questions))
