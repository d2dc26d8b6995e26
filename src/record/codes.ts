import type { EventKind, ExchangeEntry } from '../model/audit.ts'

/** The first field of every record. A change that breaks a reader changes the number. */
export const schema = 'postern/audit/v1'

/** Code of an exchange that was allowed and answered by the backend. */
export const allowedCode = 'PST2001'

/** Code of an exchange that Postern answered of itself, the same for everybody. */
export const toldCode = 'PST2002'

/** Codes of records that are not exchanges; like those of problems they never change their meaning. */
export const eventCodes = {
  'process-start': 'PST7001',
  'process-stop': 'PST7002',
  'policy-load': 'PST7011',
  'policy-refused': 'PST7012',
  'config-load': 'PST7021',
  'config-refused': 'PST7022',
  control: 'PST7031',
  rotation: 'PST7041',
  cut: 'PST7042',
  handover: 'PST7043',
  'stream-end': 'PST7051',
  gap: 'PST7061',
  refusals: 'PST7071',
} as const satisfies Record<EventKind, string>

export type RecordKind = ExchangeEntry['kind'] | EventKind
