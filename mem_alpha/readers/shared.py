"""One reader for several processes.

All processes hold the same memories, because they apply the same calls. What is
asked of another machine is asked by one of them, and the others hear of it: it
must not be paid once per process, nor be answered in different ways.
"""

from mem_alpha import mesh
from mem_alpha.readers import base


def by_first(reader: base.Reader) -> base.Reader:
  """The reader, asked by process 0 alone if it waits for another machine."""
  if not base.overlaps(reader):
    return reader
  return lambda memories, queries: mesh.from_first(
    lambda: reader(memories, queries)
  )
