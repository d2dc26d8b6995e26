import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { formatDuration } from '../src/config/values.ts'
import { KeyFault, readVerifyingKey, writeHashKey, writeKeyPair } from '../src/record/keys.ts'
import { type Report, verifyAudit } from '../src/record/verify.ts'
import { exit, type Io } from './io.ts'

export const help = `
postern audit: the record of what was decided, and its proof

  postern audit keygen --out DIR|FILE
      Makes the Ed25519 key that signs checkpoints (audit.key-file) and, beside it,
      the public key that checks them. Never overwrites a file.

  postern audit keygen --hash --out FILE
      Makes a key for the hashes of facts (audit.hash-key-files). Never overwrites a file.

  postern audit verify [--dir audit] [--second audit-second] [--key PUBLIC.pem] [--json]
      Checks every record against the signed checkpoints and their copy in the second
      place. Works offline, also on copies, also while Postern writes.
      Exit codes: 0 sound, 1 tampered (says where), 2 cannot tell (no second place, no
      key), 64 usage.
`

const exitOf = { sound: exit.done, tampered: exit.findings, 'cannot-tell': exit.cannotTell } as const

export const run = async (args: string[], io: Io): Promise<number> => {
  const [verb, ...rest] = args
  try {
    if (verb === 'keygen') return await keygen(rest, io)
    if (verb === 'verify') return await verify(rest, io)
  } catch (error) {
    if (!(error instanceof KeyFault)) throw error
    io.err(`postern audit ${verb}: ${error.message}\n`)
    return exit.usage
  }
  io.err(`postern audit: ${verb === undefined ? 'say what' : `"${verb}" is not a command`}; write keygen or verify.\n`)
  return exit.usage
}

const keygen = async (args: string[], io: Io): Promise<number> => {
  const { values } = parseArgs({ args, options: { out: { type: 'string' }, hash: { type: 'boolean', default: false } } })
  if (values.out === undefined || values.out === '') {
    io.err('postern audit keygen: say where: --out DIR or --out FILE.\n')
    return exit.usage
  }
  if (values.hash) {
    await writeHashKey(values.out)
    io.out(
      `${values.out}   hashes facts: the first of audit.hash-key-files. Mode 0600; whoever has it can test guesses against the record.\n`,
    )
    return exit.done
  }
  const { privateFile, publicFile } = await writeKeyPair(values.out)
  io.out(
    `${privateFile}   signs checkpoints: audit.key-file. Mode 0600; keep it where only Postern can read it.\n` +
      `${publicFile}   checks them: postern audit verify --key ${publicFile}\n`,
  )
  return exit.done
}

const verify = async (args: string[], io: Io): Promise<number> => {
  const { values } = parseArgs({
    args,
    options: {
      dir: { type: 'string', default: 'audit' },
      second: { type: 'string', default: 'audit-second' },
      key: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })
  if (!(await stat(values.dir).catch(() => null))?.isDirectory()) {
    io.err(`postern audit verify: ${values.dir} is no folder; --dir names the folder of the records (audit.dir).\n`)
    return exit.usage
  }
  const publicKey = values.key === undefined ? null : await readVerifyingKey(values.key)
  const report = await readable(values.dir, io, () =>
    verifyAudit({ dir: values.dir, second: values.second === '' ? null : values.second, publicKey, now: Date.now() }),
  )
  if (report === null) return exitOf['cannot-tell']
  io.out(values.json ? `${JSON.stringify({ exit: exitOf[report.verdict], ...report }, null, 2)}\n` : describeReport(report, values.dir))
  return exitOf[report.verdict]
}

/** Files that may not be read are no proof of anything, in either direction. */
const readable = async (dir: string, io: Io, work: () => Promise<Report>): Promise<Report | null> => {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error
    io.err(`postern audit verify: cannot tell: ${dir}: ${error.message}\n`)
    return null
  }
}

const headline = {
  sound: 'SOUND       every record that a checkpoint signs is as Postern wrote it',
  tampered: 'TAMPERED    the record is not as Postern wrote it',
  'cannot-tell': 'CANNOT TELL nothing wrong was found, but not everything could be checked',
} as const

/** A wrong key makes every checkpoint a finding; the first few say it all. */
const mostShown = 10

/** The report for people. */
const describeReport = (report: Report, dir: string): string => {
  const lines: string[] = [headline[report.verdict], '']
  for (const finding of report.findings.slice(0, mostShown))
    lines.push(`  ${finding.kind}: ${finding.message}`, `      in ${join(dir, finding.chain)}`)
  if (report.findings.length > mostShown) lines.push(`  ... and ${report.findings.length - mostShown} more (--json has all)`)
  for (const doubt of report.doubts) lines.push(`  cannot tell: ${doubt}`)
  for (const note of report.notes) lines.push(`  note: ${note}`)
  if (report.findings.length + report.doubts.length + report.notes.length > 0) lines.push('')
  for (const { chain, records, attested, ended } of report.chains)
    lines.push(`  ${chain}   ${records} records, ${attested} signed for${ended ? '' : ' (no end: still running, or killed)'}`)
  lines.push(
    '',
    `  ${report.records} records read, ${report.attested} signed for; ${report.unattested} not: written since the last checkpoint, or before a kill`,
  )
  const { checkpointAge } = report
  lines.push(
    checkpointAge === null ? '  no checkpoint' : `  last checkpoint ${formatDuration(Math.round(checkpointAge / 1000) * 1000)} ago`,
  )
  return `${lines.join('\n')}\n`
}
