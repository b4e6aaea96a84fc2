"""The words around raw text: what the user says before it, the reply after.

The published set draws from templates of this kind for each chunk. The lists
are ours; `lines` lets the overlap check tell them from the text of a source.
"""

READING = (
  'Please keep in mind what I read today.',
  'Here is something I would like you to remember.',
  'I have some notes for you to hold on to.',
  'Could you remember the following for me?',
  'I will ask you about this text later.',
  'Take in this passage, it will matter some day.',
  'Another piece of reading for your memory.',
  'This is what I came across today.',
)
LABELLED = (
  'Please learn how these examples are labelled.',
  'Here are some examples, each with the number of its label.',
  'I have sorted these for you, keep the labels in mind.',
  'Study the following examples and what they are labelled as.',
  'Later I will ask you to label more like these.',
  'Remember which label each of these has.',
)
FACTS = (
  'Here are some facts; where two disagree, the later one holds.',
  'Please remember these facts, newer ones replace older ones.',
  'More facts for you; the last word on a matter is the valid one.',
)
REPLIES = (
  'I will remember it.',
  'Noted, ask me whenever you like.',
  'Thank you, I have taken it in.',
  'Understood, I am keeping it in mind.',
  'Good, I will have it ready for your questions.',
  'I read all of it and will not forget it.',
)
BOOK_REPLIES = (
  'Please remember what the user has read.',
  'Keep this part of the book in memory.',
  'The user may ask for a summary of this later.',
)


def lines() -> frozenset[str]:
  """All of the above."""
  return frozenset((*READING, *LABELLED, *FACTS, *REPLIES, *BOOK_REPLIES))
