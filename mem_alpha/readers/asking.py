"""A reader that asks a model.

1. Search the memory for every question (BM25, top k of each kind).
2. Fit what was found into a prompt, ask the model.
3. With `rounds`, the model may answer `SEARCH: words` instead. What that finds
   comes in front of what it had; then it is asked again, at most so many times.

An answer counts as coming from the shown entries that hold it word for word, or
from all that were shown where none does. A model that says `unknown`, or says
nothing, has answered: with '', from nowhere. One that failed has not, and the
ledger of the run counts it, once a question.
"""

import functools
import re
from collections.abc import Sequence

from mem_alpha import structs
from mem_alpha.readers import base
from mem_alpha.readers import failures
from mem_alpha.readers import prompt as prompt_lib

_SEARCH = re.compile(r'\s*SEARCH:[ \t]*(\S.*)')
_WORD = re.compile(r'\w+')


class Asking:
  """`reader(memories, queries) -> answers`; see the module docstring."""

  def __init__(
    self,
    model: base.Model,
    layout: prompt_lib.Layout,
    ledger: failures.Ledger,
    *,
    rounds: int = 0,
  ):
    self.model, self.layout, self.rounds = model, layout, rounds
    self.ledger = ledger
    self.overlaps = base.overlaps(model)

  def __call__(
    self, memories: base.Memories, queries: base.Queries
  ) -> list[list[structs.Answer]]:
    """One answer per question; one that failed says why."""
    found = memories.search(queries)
    answers: dict[tuple[int, int], structs.Answer] = {}
    places, sources = {}, _Sources()
    open_ = [(m, q) for m, row in enumerate(queries) for q in range(len(row))]
    for turn in range(self.rounds + 1):
      may_search = turn < self.rounds
      fitted = [
        self.layout.fit(
          queries[m][q], memories.cores[m], found[m][q], may_search=may_search
        )
        for m, q in open_
      ]
      completions = self.model([prompt for prompt, _ in fitted])
      searches = {}
      for at, (prompt, shown), said in zip(open_, fitted, completions):
        if at not in places:
          places[at] = self.ledger.record(said.failed)
        elif said.failed:
          self.ledger.amend(places[at], said.failed)
        wanted = may_search and _SEARCH.match(said.text)
        if wanted:
          searches[at] = wanted[1]
        else:
          core = memories.cores[at[0]]
          answers[at] = sources.answer(
            said, prompt.system, core, shown, calls=turn + 1
          )
      if not searches:
        break
      self._search(memories, found, searches)
      open_ = list(searches)
    return [
      [answers[m, q] for q in range(len(row))] for m, row in enumerate(queries)
    ]

  def _search(self, memories, found, searches):
    """Puts, in place, what the searches find in front of what was found."""
    queries = [[] for _ in memories.cores]
    for (m, _), words in searches.items():
      queries[m].append(words)
    hits = [iter(row) for row in memories.search(queries)]
    for m, q in searches:
      new = next(hits[m])
      have = {(e.kind, e.uid) for e in new}
      old = [e for e in found[m][q] if (e.kind, e.uid) not in have]
      found[m][q] = new + old


class _Sources:
  """Where answers come from; texts are prepared once, equal answers shared."""

  def __init__(self):
    self._words = functools.cache(_words)
    self._lower = functools.cache(str.lower)
    self._answer = functools.cache(structs.Answer)
    self._all = {}

  def answer(
    self,
    completion: base.Completion,
    system: str,
    core: str,
    shown: Sequence[structs.Entry],
    *,
    calls: int,
  ) -> structs.Answer:
    """The answer in a completion; `system` is the turn that shows the rest."""
    if completion.failed:
      return self._answer('', (), completion.failed, calls)
    text = completion.text.strip()
    if text.lower().strip('. ') in ('', base.UNKNOWN):
      return self._answer('', (), '', calls)
    said, lower = self._words(text), self._lower(system)
    # One look at all that is shown spares most answers a search in each part.
    if said.strip() and all(word in lower for word in said.split()):
      parts = [e for e in shown if said in self._words(e.text)]
      in_core = said in self._words(core)
      if parts or in_core:
        return self._answer(text, _sources(parts, in_core), '', calls)
    key = (id(shown), bool(core))
    if key not in self._all:  # `shown` is kept, so that its id stays its own
      self._all[key] = shown, _sources(shown, bool(core))
    return self._answer(text, self._all[key][1], '', calls)


def _sources(entries, in_core: bool) -> tuple[tuple[structs.Kind, int], ...]:
  core = [(structs.Kind.CORE, structs.NO_ID)] if in_core else []
  return tuple([(e.kind, e.uid) for e in entries] + core)


def _words(text: str) -> str:
  """Its words, lower case, each between spaces: one in it is a whole word."""
  return f' {" ".join(_WORD.findall(text.lower()))} '
