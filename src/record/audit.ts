import type { KeyObject } from 'node:crypto'
import { resolve } from 'node:path'
import type { SecretBytes } from '../model/secret.ts'
import { Attestor, chainName, predecessor } from './attest.ts'
import { noteSigner } from './checkpoint.ts'
import { nodeDisk } from './disk.ts'
import { factSpeller } from './facts.ts'
import { type AuditDeps, AuditHost, type RunningAudit } from './host.ts'
import { longestLine } from './line.ts'
import type { AuditSettings } from './settings.ts'
import type { SpoolLimits } from './spool.ts'

export interface AuditAbout {
  /** Who writes: a host or pod name. */
  readonly instance: string
  /** Postern's own. */
  readonly version: string
  /** Folder that relative paths of the settings start from. */
  readonly base: string
  /** Signs checkpoints. */
  readonly key: KeyObject
  /** Contents of `hash-key-files`. */
  readonly hashKeys: readonly SecretBytes[]
  readonly limits?: Partial<Omit<SpoolLimits, 'spool'>>
}

const defaults = { segment: 64 * 1024 ** 2, chunk: longestLine, buffer: 16 * 1024 ** 2 }

/** Rejects with what is wrong where a folder cannot be made or read. */
export const openAudit = async (settings: AuditSettings, deps: AuditDeps, about: AuditAbout): Promise<RunningAudit> => {
  const disk = deps.disk ?? nodeDisk
  const dir = resolve(about.base, settings.dir)
  const second = settings.second === null ? null : resolve(about.base, settings.second)
  const before = await predecessor(disk, dir)
  const chain = chainName(about.instance, deps.clock.now(), deps.random(4))
  const attestor = new Attestor({ disk, chain, dir, second, signed: noteSigner(about.key) })
  await attestor.prepare()
  const audit = new AuditHost(settings, deps, {
    disk,
    dir,
    chain,
    attestor,
    facts: factSpeller({ keys: about.hashKeys, plain: new Set(settings.plain) }),
    used: await disk.usage(dir),
    limits: { ...defaults, ...about.limits },
  })
  audit.begin(about.version, before)
  return audit
}
