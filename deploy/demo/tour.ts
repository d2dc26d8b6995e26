import { execFile } from 'node:child_process'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { type Call, callPostern, type Reply } from './call.ts'
import type { Say } from './fault.ts'
import { credentialsLine, folder, ports, readiness, root, type Stage, writeCredentials } from './stage.ts'

/** What a step announces, and whether it came true. */
interface Step {
  readonly title: string
  readonly announces: string
  run(stage: Stage): Promise<{ readonly ok: boolean; readonly saw: string }>
}

const login = (reply: Reply): { readonly username: string; readonly generation: number } | null => {
  const value = (reply.json as { readonly login?: { readonly username: string; readonly generation: number } } | null)?.login
  return value ?? null
}

/** A request and the status it must get; `also` looks further and says what was wrong, or null. */
const asks = (title: string, announces: string, call: Call, status: number, also: (reply: Reply) => string | null = () => null): Step => ({
  title,
  announces,
  async run() {
    const reply = await callPostern(call)
    const wrong = reply.status === status ? also(reply) : `expected ${status}`
    const shown = login(reply)
    const seen = shown
      ? `${reply.status}, the backend logged in as ${shown.username}, generation ${shown.generation}`
      : `${reply.status} ${reply.body.trim().slice(0, 110)}`
    return { ok: wrong === null, saw: wrong === null ? seen : `${seen}: ${wrong}` }
  },
})

const tenantIs = (tenant: string) => (reply: Reply) =>
  (reply.json as { readonly tenant?: string } | null)?.tenant === tenant ? null : `these are not the invoices of ${tenant}`
const invoice = { customer: 'Acme Anvils', cents: 129_900 }

const steps: readonly Step[] = [
  asks('Anna of acme reads her invoices', 'allowed, with a login that nobody configured', { user: 'anna' }, 200, tenantIs('acme')),
  asks(
    'Anna writes one',
    'refused: her group may only read; the reason is told to the audit, not to the client',
    { user: 'anna', method: 'POST', body: invoice },
    403,
    reply => (/rule|group|policy/i.test(reply.body) ? 'the refusal tells too much' : null),
  ),
  asks(
    'Lea, who leads finance, writes one',
    'allowed, with another role',
    { user: 'lea', method: 'POST', body: invoice },
    201,
    tenantIs('acme'),
  ),
  asks('Carl, a contractor, reads from the office', 'allowed', { user: 'carl', ip: '10.1.2.3' }, 200, tenantIs('acme')),
  asks('Carl reads from a café', 'refused: contractors only from the office network', { user: 'carl', ip: '203.0.113.9' }, 403),
  asks('Gus of globex knocks at the door of acme', 'refused: a good token, of another tenant', { user: 'gus' }, 403),
  asks('Gus reads at his own door', 'allowed', { user: 'gus', tenant: 'globex' }, 200, tenantIs('globex')),
  asks('Nobody in particular', 'asked to say who', {}, 401, reply =>
    reply.headers['www-authenticate'] === 'Bearer' ? null : 'no challenge',
  ),
  asks(
    'Anna says she is globex, and brings a password',
    'nothing of it arrives: Anna is Anna of acme',
    {
      user: 'anna',
      headers: {
        'x-postern-tenant': 'globex',
        X_Postern_Tenant: 'globex',
        'x-postern-cassandra-password': 'guess',
        'x-forwarded-user': 'root',
      },
    },
    200,
    tenantIs('acme'),
  ),
  asks('Anna comes past the gateway', 'refused before the token is looked at', { user: 'anna', proof: false }, 403),
  asks(
    'A path that two servers read in two ways',
    'refused, and the connection closed',
    { user: 'anna', path: '/v1/invoices/%2e%2e/%2e%2e/admin' },
    400,
  ),
  { title: 'The credential rotates while Anna keeps reading', announces: 'a new generation, and not one failed request', run: rotation },
  { title: 'The metrics', announces: 'count what happened, by tenant and rule', run: metrics },
  { title: 'The record', announces: 'verifies, and a single changed letter is found', run: audit },
]

/** Tries everything, tells what happened, and gives 1 if anything differs from what was announced. */
export const runTour = async (stage: Stage, say: Say): Promise<number> => {
  const colour = process.stdout.isTTY === true
  const paint = (code: number, text: string): string => (colour ? `\u001b[${code}m${text}\u001b[0m` : text)
  say(`\n${paint(1, 'A tour of Postern')}, everything real and on this machine\n${credentialsLine(stage)}\n`)
  let failed = 0
  for (const [i, step] of steps.entries()) {
    say(`${paint(1, `${String(i + 1).padStart(2)}. ${step.title}`)}`)
    const { ok, saw } = await step
      .run(stage)
      .catch((fault: unknown) => ({ ok: false, saw: fault instanceof Error ? fault.message : String(fault) }))
    if (!ok) failed += 1
    say(`    ${step.announces}\n    ${ok ? paint(32, 'as announced') : paint(31, 'NOT AS ANNOUNCED')}  ${saw}\n`)
  }
  say(
    failed === 0
      ? `${paint(32, 'Everything was as announced.')} Now yours: npm start, and edit policies/acme.policy.yaml while it runs.`
      : paint(31, `${failed} of ${steps.length} differed.`),
  )
  return failed === 0 ? 0 : 1
}

/** Anna reads without a pause until her login has changed; without Cassandra the demo plays the one who rotates the file. */
async function rotation(stage: Stage): Promise<{ ok: boolean; saw: string }> {
  const first = login(await callPostern({ user: 'anna' }))?.generation ?? 0
  if (stage.cluster === null) await writeCredentials(first + 1)
  const deadline = Date.now() + 30_000
  let requests = 0
  let failures = 0
  let now = first
  while (now < first + 1 && Date.now() < deadline) {
    const replies = await Promise.all(Array.from({ length: 8 }, () => callPostern({ user: 'anna' })))
    requests += replies.length
    failures += replies.filter(reply => reply.status !== 200).length
    now = Math.max(now, ...replies.map(reply => login(reply)?.generation ?? 0))
    await pause(10)
  }
  return { ok: now > first && failures === 0, saw: `generation ${first} became ${now} during ${requests} requests, ${failures} failed` }
}

async function metrics(): Promise<{ ok: boolean; saw: string }> {
  const text = await new Promise<string>((resolve, reject) => {
    get({ host: '127.0.0.1', port: ports.ops, path: '/metrics' }, res => {
      const chunks: Buffer[] = []
      res.on('data', (chunk: Buffer) => chunks.push(chunk))
      res.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')))
    }).on('error', reject)
  })
  const lines = text.split('\n').filter(line => line.startsWith('postern_decisions_total{tenant="acme"'))
  const ready = await readiness()
  return { ok: lines.length >= 3 && ready?.ready === true, saw: lines.slice(0, 3).join('\n                  ') }
}

/** `postern audit verify` on the record of this tour, then on a copy with one letter changed. */
async function audit(): Promise<{ ok: boolean; saw: string }> {
  await pause(11_000)
  const sound = await verify(join(folder, 'audit'))
  const copy = await mkdtemp(join(tmpdir(), 'postern-tour-'))
  try {
    await cp(join(folder, 'audit'), copy, { recursive: true })
    const file = (await readdir(copy, { recursive: true })).find(name => name.endsWith('.jsonl')) ?? ''
    const text = await readFile(join(copy, file), 'utf8')
    await writeFile(join(copy, file), text.replace('"subject":"gus"', '"subject":"Gus"'))
    const changed = await verify(copy)
    return { ok: sound.code === 0 && changed.code === 1, saw: `${sound.line}\n                  with gus written Gus: ${changed.line}` }
  } finally {
    await rm(copy, { recursive: true, force: true })
  }
}

const verify = (dir: string): Promise<{ readonly code: number; readonly line: string }> =>
  new Promise(resolve => {
    const args = ['audit', 'verify', '--dir', dir, '--second', join(folder, 'audit-second'), '--key', join(folder, 'audit.pub.pem')]
    execFile(process.execPath, [join(root, 'cmd', 'postern.mjs'), ...args], (fault, stdout, stderr) => {
      const code = fault === null ? 0 : Number(fault.code)
      resolve({ code, line: `${stdout}${stderr}`.trim().split('\n').slice(0, 2).join(' ') })
    })
  })
