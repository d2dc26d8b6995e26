import { parseArgs } from 'node:util'
import { askControl } from '../src/control.ts'
import type { CutDone, RoleHistory } from '../src/credentials/acts.ts'
import type { Asked } from '../src/credentials/role.ts'
import type { CredentialStatus } from '../src/model/credential.ts'
import { exit, type Io, plain } from './io.ts'
import { processOptions, stateFolder } from './state.ts'

export const help = `
postern credentials status                                      what is handed out of each role, and who makes it
postern credentials history ROLE                                the role's generations in the cluster, newest first
postern credentials rotate ROLE [--why TEXT] [--keep-connections]   the next credential now; also ends a cut
postern credentials cut ROLE --why TEXT                         ends everything that was handed out of the role, on every node

Asks the running process. A cut holds for the whole group, until a rotate: no login, an unknowable password, and the permission role revoked where
the manager may. It prints how long that took on each node, and the connections that it could not end. A rotate after a cut is refused while
connections from before the cut are open, because the next login would bring them back to life: end these clients first.
  --why TEXT           the reason, for the audit
  --keep-connections   rotate although such connections are open: after a false alarm or a drill, where clients keep their pools and need no restart
  --config FILE        configuration of the process (default proxy.config.yaml): its "state:" says where the control socket is
  --state DIR          the state folder itself
  --json               the whole answer as JSON
Exit: 0 done; 1 refused; 2 cannot tell: no answer, or not all of it could be observed; 3 partly done.
`

const acts: Readonly<Record<string, { readonly ms: number; readonly names: number; print(answer: unknown, io: Io): number }>> = {
  status: {
    ms: 5_000,
    names: 0,
    print: (answer, io) => printStatus((answer as { readonly roles: readonly CredentialStatus[] }).roles, io),
  },
  history: { ms: 15_000, names: 1, print: (answer, io) => printHistory(answer as RoleHistory, io) },
  rotate: { ms: 60_000, names: 1, print: (answer, io) => printAsked(answer as Asked, io) },
  cut: { ms: 120_000, names: 1, print: (answer, io) => printCut(answer as CutDone, io) },
}

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      ...processOptions,
      why: { type: 'string' },
      'keep-connections': { type: 'boolean', default: false },
    },
  })
  const [name = '', role = ''] = positionals
  const act = Object.hasOwn(acts, name) ? acts[name] : undefined
  const wrong = usage(name, act?.names, positionals.length - 1, values)
  if (act === undefined || wrong !== null) {
    io.err(`postern credentials: ${wrong ?? ''}\nTry: postern credentials --help\n`)
    return exit.usage
  }
  const state = await stateFolder(values, io)
  if (state === null) return exit.usage
  const body = { act: name, role, why: values.why ?? '', keepConnections: values['keep-connections'] }
  const answer = await askControl(state, 'credentials', body, act.ms).catch((fault: Error) => ({ error: fault.message }))
  if (isFault(answer)) {
    io.err(`postern credentials ${name}: ${plain(answer.error)}\n`)
    return exit.cannotTell
  }
  if (!values.json) return act.print(answer, io)
  io.out(`${JSON.stringify(answer)}\n`)
  return act.print(answer, { out: () => undefined, err: () => undefined })
}

const usage = (
  name: string,
  names: number | undefined,
  given: number,
  values: { readonly why?: string | undefined; readonly 'keep-connections': boolean },
): string | null => {
  if (names === undefined) return name === '' ? 'write status, history, rotate or cut.' : `"${plain(name)}" is not one of its acts.`
  if (given !== names) return names === 0 ? `${name} takes no role.` : `${name} needs one permission role, as policies name it.`
  if (name === 'cut' && !values.why) return 'cut needs --why TEXT: the reason goes into the audit.'
  return values['keep-connections'] && name !== 'rotate' ? '--keep-connections belongs to rotate.' : null
}

const isFault = (answer: unknown): answer is { readonly error: string } =>
  typeof answer === 'object' && answer !== null && 'error' in answer && typeof answer.error === 'string'

const printStatus = (roles: readonly CredentialStatus[], io: Io): number => {
  const rows = roles.map(({ role, state, generation, slot, notAfter, nextAt, onPrevious, holder, detail }) => [
    role,
    state,
    String(generation || '-'),
    slot || '-',
    instant(nextAt),
    instant(notAfter),
    onPrevious === null ? '?' : String(onPrevious),
    [holder === '' ? '' : `made by ${holder}`, detail.startsWith('made by') ? '' : detail].filter(Boolean).join('; '),
  ])
  table(['role', 'state', 'generation', 'slot', 'next at', 'works until', 'on previous', ''], rows, io)
  if (roles.length === 0) io.out('no role: no policy names one, or no credentials are configured\n')
  return exit.done
}

const printHistory = ({ rows, cut, asked }: RoleHistory, io: Io): number => {
  if (cut !== null) io.out(`cut since ${instant(cut.at)}: ${plain(cut.why)}\n`)
  if (asked) io.out('a rotation is asked for\n')
  const cells = rows.map(({ generation, slot, state, at, notAfter, owner }) => [
    String(generation),
    slot,
    state === 'current' ? 'handed out' : 'never handed out',
    instant(at),
    instant(notAfter),
    owner,
  ])
  table(['generation', 'slot', 'state', 'at', 'not after', 'by'], cells, io)
  return exit.done
}

const printAsked = (asked: Asked, io: Io): number => {
  if (asked.is === 'rotated') {
    io.out(`generation ${asked.generation} is handed out\n`)
    return exit.done
  }
  if (asked.is === 'waiting') {
    const who = asked.holder === '' ? 'this process' : plain(asked.holder)
    io.err(`asked for, but not there after 30 s; ${who} goes on trying. ${plain(asked.detail)}\n`)
    return exit.cannotTell
  }
  io.err(
    `refused: ${asked.connections?.count ?? 0} connections from before the cut are open, and the next login would bring them back to life:\n`,
  )
  for (const line of asked.connections?.some ?? []) io.err(`  ${plain(line)}\n`)
  io.err('End these clients, or close all of a node (nodetool disablebinary, enablebinary); or take the risk: --keep-connections\n')
  return exit.findings
}

const printCut = (done: CutDone, io: Io): number => {
  const rows = done.nodes.map(({ host, loginMs, connectionMs, dataMs, open }) => [
    host,
    dead(loginMs),
    dead(connectionMs),
    dead(dataMs),
    open === null ? '?' : String(open.count),
  ])
  table(['node', 'new logins', 'open connections', 'their data', 'still open'], rows, io)
  io.out(
    done.revoked
      ? 'the permission role is revoked from both slots; a rotate gives it back\n'
      : 'the permission role is not revoked: the manager lacks AUTHORIZE on it (postern cassandra init --with-cut)\n',
  )
  for (const slot of done.unlocked) io.err(`not locked, tried again until it is: ${plain(slot)}\n`)
  if (done.unmarked !== null) io.err(`the other sidecars are not told yet, which is tried again: ${plain(done.unmarked)}\n`)
  if (done.unreached > 0) io.err(`${done.unreached} nodes of the cluster are out of reach: what is connected there is not known\n`)
  const alive = done.nodes.filter(({ connectionMs, dataMs }) => connectionMs === null && dataMs === null)
  for (const { host, open } of alive) {
    if (open === null) io.err(`${host} does not show who is connected (SELECT ON system_views.clients)\n`)
    else if (open.count > 0) io.err(`COULD NOT BE ENDED on ${host}, ${open.count} in all:\n`)
    for (const line of open?.some ?? []) io.err(`  ${plain(line)}\n`)
  }
  if (done.unmarked !== null || done.reached === 'partly') return exit.partly
  return done.reached === 'complete' ? exit.done : exit.cannotTell
}

const dead = (ms: number | null): string => (ms === null ? 'not seen to end' : `ended in ${ms} ms`)

const instant = (ms: number): string => (ms === 0 || !Number.isFinite(ms) ? '-' : new Date(ms).toISOString())

const table = (head: readonly string[], rows: readonly (readonly string[])[], io: Io): void => {
  const lines = [head, ...rows].map(row => row.map(plain))
  const widths = head.map((_, column) => Math.max(...lines.map(line => line[column]?.length ?? 0)))
  for (const line of lines)
    io.out(
      `${line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd()}\n`,
    )
}
