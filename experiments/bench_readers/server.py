"""A server that answers every request after a fixed time, for the benchmark.

python experiments/bench_readers/server.py SECONDS

It prints its port and serves until its standard input ends. One process of its
own and no framework, so that it costs the client's machine next to nothing.
"""

import asyncio
import sys

_BODY = b'{"choices": [{"message": {"role": "assistant", "content": "Oslo"}}]}'
_REPLY = (
  b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d'
  b'\r\n\r\n%s' % (len(_BODY), _BODY)
)


async def _serve(reader, writer, seconds: float):
  try:
    while head := await reader.readuntil(b'\r\n\r\n'):
      fields = dict(
        line.lower().split(b': ', 1) for line in head.split(b'\r\n')[1:-2]
      )
      await reader.readexactly(int(fields[b'content-length']))
      await asyncio.sleep(seconds)
      writer.write(_REPLY)
  except (asyncio.IncompleteReadError, ConnectionError):
    writer.close()


async def main(seconds: float):
  server = await asyncio.start_server(
    lambda r, w: _serve(r, w, seconds), '127.0.0.1', 0, limit=1 << 24
  )
  print(server.sockets[0].getsockname()[1], flush=True)
  await asyncio.to_thread(sys.stdin.read)


if __name__ == '__main__':
  asyncio.run(main(float(sys.argv[1])))
