import type { CredentialEvent, Named, Observe } from './credentials/events.ts'
import type { EventEntry } from './model/audit.ts'
import type { Deps, LogFields } from './model/deps.ts'
import { eventCodes } from './record/codes.ts'
import type { RunningAudit } from './record/host.ts'
import type { Metrics } from './record/metrics.ts'

type Kind = CredentialEvent['kind']
type Tell = { readonly [K in Kind]: (event: Extract<CredentialEvent, { kind: K }>) => void }

/** What becomes of each event of a provider: audit, metric, log line. A new kind does not compile without its row. */
export const credentialEvents = (audit: RunningAudit, metrics: Pick<Metrics, 'rotation'>, { log, clock }: Deps): Observe => {
  const record = (kind: 'rotation' | 'cut' | 'handover', detail: EventEntry['detail']): void =>
    audit.event({ kind, code: eventCodes[kind], time: clock.now(), tenant: null, detail })
  const tell: Tell = {
    ...quiet(log),
    rotated({ role, generation, slot, ms, nodes, late }) {
      record('rotation', { role, generation, slot, ms, nodes, ...counted(late) })
      metrics.rotation(role, 'done', ms)
      log.info({ role, generation, slot, ms, nodes, ...counted(late) }, 'credential rotated')
    },
    retired({ role, slot, ms, late }) {
      record('rotation', { act: 'retired', role, slot, ms, ...counted(late) })
      const fields = { role, slot, ms, ...counted(late) }
      if (late !== null && late.count > 0) log.warn(fields, 'retired: connections that were opened with it live on')
      else log.info(fields, 'retired')
    },
    late({ role, slot, ms, late }) {
      log.warn({ role, slot, ms, ...counted(late) }, 'backends still use the previous credential: it lives on for a while')
    },
    quarantined({ role, generation, slot, why }) {
      record('rotation', { act: 'quarantined', role, generation, slot, why })
      metrics.rotation(role, 'quarantined')
      log.error({ role, generation, slot, why }, 'SOMEBODY ELSE CHANGED A LOGIN OF POSTERN: it is given up, the next one is made now')
    },
    stopped({ role, at, why }) {
      record('cut', { act: 'stopped', role, since: new Date(at).toISOString(), why })
      log.warn({ role, why }, 'cut: nothing of the role is handed out')
    },
    degraded({ role, generation, message }) {
      record('rotation', { act: 'degraded', role, generation, why: message })
      log.error({ role, generation, cause: message }, 'no new credential in time; the old one stays in use')
    },
    expired({ role, generation, kept }) {
      record('rotation', { act: 'expired', role, generation, kept })
      log.error({ role, generation, kept }, kept ? 'hard-ttl passed; the old credential is kept' : 'hard-ttl passed: nothing is handed out')
    },
    handover({ role, generation, via, to }) {
      record('handover', { role, generation, via, to })
    },
    failed({ role, step, message, failures }) {
      if (step !== 'follow' && step !== 'check') metrics.rotation(role, 'failed')
      log.error({ role, step, failures, cause: message }, meaning[step] ?? 'rotation failed; the current credential stays')
    },
  }
  return event => (tell[event.kind] as (event: CredentialEvent) => void)(event)
}

const meaning: Readonly<Record<string, string>> = {
  follow: 'the rows of the group cannot be read; the current credential stays',
  check: 'the credential that is handed out is of no use',
  cut: 'a slot of a role that was cut is not locked yet',
}

/** What is for the log alone. */
const quiet = (log: Deps['log']): Pick<Tell, 'adopted' | 'lease' | 'delivery-failed' | 'connection' | 'file'> => ({
  adopted: ({ role, generation, owner }) => log.info({ role, generation, owner }, 'credentials: adopted'),
  lease: ({ role, held, owner }) => log.info({ role, held, owner }, 'credentials: lease'),
  'delivery-failed': ({ role, via, message }) => log.error({ role, via, cause: message }, 'a credential could not be handed over'),
  connection({ up, message }) {
    if (up) log.info({ nodes: message }, 'credentials: connection')
    else log.error({ cause: message }, 'no session with Cassandra; the current credentials stay')
  },
  file({ roles, findings }) {
    for (const finding of findings)
      log.error({ where: `${finding.file}:${finding.line}:${finding.column}`, problem: finding.code }, finding.message)
    if (findings.length === 0) log.info({ roles }, 'credentials: file')
  },
})

const counted = (named: Named): LogFields & EventEntry['detail'] =>
  named === null ? { late: null } : named.count === 0 ? {} : { late: named.count, connections: named.some.join('; ') }
