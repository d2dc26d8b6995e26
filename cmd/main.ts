import { type Command, exit, type Io } from './io.ts'

/** Every command: one file, loaded when it is asked for. */
const commands: Readonly<Record<string, { readonly about: string; load(): Promise<Command> }>> = {
  serve: { about: 'run the proxy', load: () => import('./serve.ts') },
  check: { about: 'read and check policies', load: () => import('./check.ts') },
  test: { about: 'run the tests beside the policies', load: () => import('./test.ts') },
  explain: { about: 'say how a request is decided, and why', load: () => import('./explain.ts') },
  try: { about: 'explain a request with a real token', load: () => import('./try.ts') },
  say: { about: 'say in plain English what policies mean', load: () => import('./say.ts') },
  grid: { about: 'the access-review table', load: () => import('./grid.ts') },
  replay: { about: 'decide recorded requests again by other policies', load: () => import('./replay.ts') },
  learn: { about: 'draft tests from traffic, list what no traffic needs', load: () => import('./learn.ts') },
  mutate: { about: 'find what no test of a policy would notice', load: () => import('./mutate.ts') },
  diff: { about: 'who gains and who loses between two versions', load: () => import('./diff.ts') },
  audit: { about: 'make a signing key, verify the record', load: () => import('./audit.ts') },
  schema: { about: 'JSON Schemas for editors', load: () => import('./schema.ts') },
  config: { about: 'show the effective configuration', load: () => import('./config.ts') },
  status: { about: 'ask a running process how it is', load: () => import('./status.ts') },
  reload: { about: 'make a running process read its files again', load: () => import('./reload.ts') },
  rollback: { about: 'restore the previous policy of a tenant in a running process', load: () => import('./rollback.ts') },
  credentials: { about: 'what backends are given for Cassandra: status, history, rotate, cut', load: () => import('./credentials.ts') },
  cassandra: { about: 'make what Postern needs in a cluster, examine a cluster', load: () => import('./cassandra.ts') },
  deny: { about: 'refuse a person, token, session or tenant for a while', load: () => import('./deny.ts') },
  drain: { about: 'prepare a running process for its end', load: () => import('./drain.ts') },
  version: { about: 'print the version', load: () => import('./version.ts') },
}

const usage = `postern: an identity-aware reverse proxy between AWS API Gateway and backends on Apache Cassandra

${Object.entries(commands)
  .map(([name, { about }]) => `  postern ${name.padEnd(11)} ${about}`)
  .join('\n')}

postern COMMAND --help tells more. Exit codes: 0 done, 1 findings, 2 cannot tell, 3 partly done, 64 usage or configuration, 70 fault.
`

const console: Io = { out: text => void process.stdout.write(text), err: text => void process.stderr.write(text) }

/** Runs one command line and gives its exit code. */
export const main = async (argv: readonly string[], io: Io = console): Promise<number> => {
  const [name, ...args] = argv
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    io.out(usage)
    return name === undefined ? exit.usage : exit.done
  }
  const found = name === '--version' ? commands['version'] : Object.hasOwn(commands, name) ? commands[name] : undefined
  if (!found) {
    io.err(`postern: "${name}" is not a command. ${usage}`)
    return exit.usage
  }
  const command = await found.load()
  if (args.includes('--help') || args.includes('-h')) {
    io.out(`${command.help.trim()}\n`)
    return exit.done
  }
  try {
    return await command.run(args, io)
  } catch (fault) {
    const usageFault = fault instanceof TypeError && 'code' in fault && String(fault.code).startsWith('ERR_PARSE_ARGS')
    io.err(
      `postern ${name}: ${fault instanceof Error ? fault.message : String(fault)}\n${usageFault ? `Try: postern ${name} --help\n` : ''}`,
    )
    return usageFault ? exit.usage : exit.fault
  }
}
