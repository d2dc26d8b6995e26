import { parseArgs } from 'node:util'
import { version } from '../src/version.ts'
import { exit, type Io } from './io.ts'

export const help = `
postern version [--json]

Prints the version of Postern and of the Node it runs on.
`

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values } = parseArgs({ args, options: { json: { type: 'boolean' } } })
  io.out(
    values.json ? `${JSON.stringify({ version, node: process.versions.node })}\n` : `postern ${version} on Node ${process.versions.node}\n`,
  )
  return exit.done
}
