#!/usr/bin/env node
import { requireRuntime } from './runtime.mjs'

requireRuntime()
// A reader that has seen enough (postern say | head) is no fault: the command goes on to its own exit code.
process.stdout.on('error', fault => {
  if (fault.code !== 'EPIPE') throw fault
})
const { main } = await import('./main.ts')
const code = await main(process.argv.slice(2))
// A reader of standard output that has stopped reading must not hold up the end; a command's own output is waited for.
if (process.argv[2] === 'serve') process.exit(code)
process.exitCode = code
