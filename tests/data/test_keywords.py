"""Keywords by rule: names first, then long words, all of them in the text."""

from mem_alpha.data import keywords

SUMMARY = (
  'At night, Anna Lee meets Tom’s uncle in Rome. Later Anna Lee forgives him. '
  'The forgiveness surprises Tom. Bleak weather follows them to Xanadu.'
)
TEXT = 'Anna Lee saw Tom in Rome; the weather was bad. Forgiveness followed.'


def test_names_come_first_and_stand_in_the_text(recipe_of):
  found = keywords.find([SUMMARY], TEXT, recipe_of())
  assert found == ('Anna Lee', 'Tom', 'Rome', 'forgiveness', 'weather')


def test_too_few_are_none(recipe_of):
  assert keywords.find([SUMMARY], 'Anna Lee and Tom', recipe_of()) == ()


def test_a_model_is_asked_once_and_not_trusted(recipe_of):
  def ask(prompts):
    (prompt,) = prompts
    assert SUMMARY in prompt
    return ['Tom, Rome, a crime, weather, Tom.']

  assert keywords.find([SUMMARY], TEXT, recipe_of(ask=ask)) == (
    'Tom',
    'Rome',
    'weather',
  )
