import { parseArgs } from 'node:util'
import { loadConfig } from '../src/load.ts'
import { showConfig } from '../src/settings.ts'
import { printFindings } from './findings.ts'
import { exit, type Io } from './io.ts'

export const help = `
postern config show [--config proxy.config.yaml] [--json]

Prints every effective value, where it came from (file:line:col or default), and "restart" where a change waits for a restart.
The configuration holds paths, never secrets, so nothing is left out.
`

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { config: { type: 'string', default: 'proxy.config.yaml' }, json: { type: 'boolean' } },
  })
  if (positionals.length !== 1 || positionals[0] !== 'show') {
    io.err('Try: postern config show\n')
    return exit.usage
  }
  const loaded = await loadConfig(values.config)
  if (!('config' in loaded)) {
    printFindings(loaded, io)
    return exit.usage
  }
  const rows = showConfig(loaded.read)
  if (values.json) io.out(`${JSON.stringify(rows)}\n`)
  else for (const row of rows) io.out(`${row.key}: ${JSON.stringify(row.value)}  # ${row.from}${row.restart ? ', restart' : ''}\n`)
  return exit.done
}
