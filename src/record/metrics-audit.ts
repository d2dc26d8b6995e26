import type { Registry } from 'prom-client'
import type { AuditStatus } from './host.ts'
import { asked, type Sample } from './metrics-asked.ts'

export const registerAudit = (registry: Registry, read: () => AuditStatus | null): void => {
  const add = (
    kind: 'gauge' | 'counter',
    name: string,
    help: string,
    label: string | null,
    of: (s: AuditStatus) => readonly Sample[],
  ): void =>
    asked(registry, kind, `postern_audit_${name}`, help, label === null ? [] : [label], () => {
      const status = read()
      return status === null ? [] : of(status)
    })
  add('counter', 'records_total', 'Records kept.', 'kind', s => [...s.records].map(([kind, n]) => [{ kind }, n]))
  add('counter', 'lost_total', 'Records that could not be kept, or whose file was taken away.', null, s => [[{}, s.lost]])
  add('counter', 'folded_total', 'Refusals counted in an aggregated record.', null, s => [[{}, s.folded]])
  add('gauge', 'spool_bytes', 'Bytes of the audit folder.', null, s => [[{}, s.spoolBytes]])
  add('gauge', 'spool_max_bytes', 'Bytes at which requests are refused.', null, s => [[{}, s.spoolMax]])
  add('gauge', 'ready', '0 while requests are refused because they could not be recorded.', null, s => [[{}, s.ready ? 1 : 0]])
  add('gauge', 'sink_up', '1 where a sink takes what it is given.', 'sink', s => s.sinks.map(k => [{ sink: k.kind }, k.up ? 1 : 0]))
  add('counter', 'sink_dropped_total', 'Records that a sink did not take; the spool has them.', 'sink', s =>
    s.sinks.map(k => [{ sink: k.kind }, k.dropped]),
  )
  add('gauge', 'last_checkpoint_timestamp_seconds', 'When the last checkpoint was signed and stored.', null, s =>
    s.checkpoint.time === null ? [] : [[{}, s.checkpoint.time / 1000]],
  )
  add('gauge', 'second_place_up', '0 where the second place did not take the last checkpoint.', null, s => [
    [{}, s.checkpoint.secondFault === null ? 1 : 0],
  ])
}
