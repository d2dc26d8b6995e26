import { stat } from 'node:fs/promises'
import { systemClock } from '../src/deps.ts'
import { formatFinding } from '../src/model/finding.ts'
import { type Composition, composing } from '../src/policy/compose.ts'
import type { Against } from '../src/policy/tools/again.ts'
import { type PolicyFolder, readPolicyFolder, type UnreadableFolder } from '../src/policy-folder.ts'
import { isRevision, readPolicyRevision } from '../src/policy-revision.ts'
import { inTurns } from '../src/turns.ts'
import { exit, type Io } from './io.ts'
import { count, plain, printWithSource } from './policies.ts'

/** Where policies are read from: a folder of today, or the same folder as a commit has it. */
export type Side = { readonly folder: string } | { readonly revision: string }

/** False: neither a commit nor a folder. A text says what cannot be told. A bare name is never a folder: a branch may have it too. */
export const sideOf = async (name: string, dir: string): Promise<Side | string | false> => {
  const isFolder = async (): Promise<boolean> => (await stat(name).catch(() => null))?.isDirectory() ?? false
  if (/^[./]/.test(name)) return (await isFolder()) ? { folder: name } : false
  const known = await isRevision(name, { dir, env: process.env })
  if (known === false && (await isFolder())) return `"${name}" is a folder here and no commit: write ./${name}`
  return known === true ? { revision: name } : known
}

/** `dir`: the policies folder within revisions. */
export const readSide = (side: Side, dir: string): Promise<PolicyFolder | UnreadableFolder> =>
  'folder' in side ? readPolicyFolder(side.folder) : readPolicyRevision(side.revision, { dir, env: process.env })

/** The policies of a folder or revision, all in order, or what is wrong with them and the exit code. */
export const readRevisionOrFolder = async (command: string, name: string, dir: string, io: Io): Promise<Against | number> => {
  const refuse = (message: string): number => {
    io.err(`postern ${command}: ${plain(message)}\n`)
    return exit.usage
  }
  const side = await sideOf(name, dir)
  if (typeof side === 'string') return refuse(side)
  if (side === false) return refuse(`"${name}" is no commit that git knows here, and no folder written with "./" or "/".`)
  const folder = await readSide(side, dir)
  if ('error' in folder) return refuse(formatFinding(folder.error))
  const options = { issuers: null, testsGateReload: false, now: systemClock.now() }
  const composed = await inTurns(composing(folder.files, null, options), systemClock)
  const errors = [...folder.findings, ...composed.findings].filter(finding => finding.severity === 'error')
  const against = composed.composition && againstOf(composed.composition)
  if (errors.length === 0 && against) return against
  // A tenant that is refused would seem to lose everything.
  printWithSource(errors, folder.files, { ...io, out: io.err })
  return refuse(`${name} has ${count(errors.length, 'error')}; nothing is decided by a policy that would not come into force.`)
}

/** Every tenant in force. Null where the platform file is refused: nothing is in force without it. */
export const againstOf = ({ platform, entries }: Composition): Against | null => {
  const tenants = [...entries.values()].flatMap(({ enforced }) =>
    enforced?.policy && enforced.recognise ? [{ policy: enforced.policy, recognise: enforced.recognise }] : [],
  )
  return platform.policy && { platform: platform.policy, tenants }
}
