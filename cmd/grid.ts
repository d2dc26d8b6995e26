import { sign } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { momentOf, Unanswerable } from '../src/policy/tools/ask.ts'
import { type Table, tableOf } from '../src/policy/tools/table.ts'
import { tableFormats, tableText } from '../src/policy/tools/table-formats.ts'
import { safeJson } from '../src/policy/tools/words.ts'
import { KeyFault, readSigningKey } from '../src/record/keys.ts'
import { exit, type Io } from './io.ts'
import { loadPolicies, plain, policyOptions } from './policies.ts'
import { tenantOf } from './tenant.ts'

export const help = `
postern grid TENANT [--callers A,B] [--requests X,Y] [--at INSTANT] [--format text|md|csv|html] [--sign KEY --out FILE] [--policies DIR] [--json]

The access review: who may ask what, for the callers and requests of the tenant's test files, decided by the proxy's own engine, with the moment
decided for and the SHA-256 of the tenant's policy and of the platform's. Format text is YAML that can stand in a test file as its grid.
  --callers, --requests   only these, separated by commas (default: all)
  --at INSTANT            the clock (default: now of each test file): 2026-11-23T10:00:00Z
  --format FORMAT         text (default), md, csv or html
  --sign KEY              the key of postern audit keygen; writes the table to --out FILE and a detached Ed25519 signature over its bytes to
                          FILE.sig. To verify: openssl pkeyutl -verify -pubin -inkey KEY.pub.pem -rawin -in FILE -sigfile FILE.sig
  --policies DIR          the folder (default policies)
  --json                  one JSON object instead of a format
Exit: 0 done, 1 the policy or its tests have errors, 2 there is nothing to decide, 64 usage or files that cannot be read or written.
`

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      callers: { type: 'string' },
      requests: { type: 'string' },
      at: { type: 'string' },
      format: { type: 'string', default: 'text' },
      sign: { type: 'string' },
      out: { type: 'string' },
      ...policyOptions,
    },
  })
  const usage = (message: string): number => {
    io.err(`postern grid: ${plain(message)}\n`)
    return exit.usage
  }
  const [name] = positionals
  if (name === undefined || positionals.length > 1) return usage('write one tenant.')
  const format = tableFormats.find(known => known === values.format)
  if (format === undefined) return usage(`"${values.format}" is not a format; write ${tableFormats.join(', ')}.`)
  if ((values.sign === undefined) !== (values.out === undefined)) return usage('--sign KEY and --out FILE belong together.')
  const at = values.at === undefined ? null : momentOf(values.at)
  if (at instanceof Unanswerable) return usage(at.messages.join(' '))
  const policies = await loadPolicies('grid', { dir: values.policies, config: undefined, names: [] }, io)
  if (typeof policies === 'number') return policies
  const tenant = tenantOf('grid', policies, name, io)
  if (typeof tenant === 'number') return tenant
  const choice = { callers: namesOf(values.callers), requests: namesOf(values.requests), at }
  const table = tableOf(tenant.bench, tenant.entry.tested.files, choice)
  if (table instanceof Unanswerable) return usage(table.messages.join(' '))
  if (table.sheets.length === 0) {
    io.err(`postern grid: the tests of ${name} have no callers and requests to decide; write ${name}.policy-test.yaml.\n`)
    return exit.cannotTell
  }
  const document = values.json ? `${safeJson(table)}\n` : tableText(table, format)
  return values.sign === undefined || values.out === undefined
    ? print(document, io)
    : await signed(document, values.sign, values.out, table, io)
}

const namesOf = (text: string | undefined): readonly string[] | null => text?.split(',').filter(name => name !== '') ?? null

const print = (document: string, io: Io): number => {
  io.out(document)
  return exit.done
}

const signed = async (document: string, keyFile: string, out: string, { tenant }: Table, io: Io): Promise<number> => {
  try {
    const bytes = Buffer.from(document)
    // The key may be one that signs checkpoints: no table can pass for one, for its second line is never a number.
    const signature = sign(null, bytes, await readSigningKey(keyFile))
    // The signature first: cut off in between, what is left does not verify.
    await writeFile(`${out}.sig`, signature)
    await writeFile(out, bytes)
    io.out(plain(`${out}: the table of ${tenant}. ${out}.sig: its signature.`).concat('\n'))
    return exit.done
  } catch (fault) {
    const known = fault instanceof KeyFault || (fault instanceof Error && 'code' in fault)
    if (!known) throw fault
    io.err(`postern grid: ${plain(fault.message)}\n`)
    return exit.usage
  }
}
