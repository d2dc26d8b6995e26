import { parentPort } from 'node:worker_threads'
import { parse } from './config/parse.ts'
import { pack } from './config/transfer.ts'
import type { Unparsed } from './config/tree.ts'

/** Entry of a thread of `parsers.ts`: parses what it is sent, one file after the other. */
parentPort?.on('message', ({ file, bytes, family }: Omit<Unparsed, 'bytes'> & { readonly bytes: Uint8Array }) => {
  const packed = pack(parse({ file, bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), family }))
  parentPort?.postMessage(packed)
})
