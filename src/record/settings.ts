import { resolve, sep } from 'node:path'
import { bad, choice, entryOf, fail, list, notBuilt, optional, record, required, text } from '../config/shape.ts'
import { duration, path, size } from '../config/values.ts'

const GiB = 1024 ** 3
const restart = { restart: true }

const factName = text('the name of a token claim, header.NAME or query.NAME', name =>
  name === '' || name.length > 256 || /\p{Cc}/u.test(name)
    ? 'this is no name of a fact; write for example groups or header.x-purpose.'
    : null,
)

const shape = record({
  dir: optional(path('a folder'), 'audit', 'Folder of the audit records, one folder for each run of the process.', restart),
  'key-file': required(
    path('a file'),
    'Ed25519 private key (PEM, PKCS#8) that signs checkpoints; `postern audit keygen` makes one.',
    restart,
  ),
  second: optional<string | null>(
    path('a folder'),
    null,
    'Second place for checkpoints, out of the reach of whoever can write to `dir`. Without it `verify` cannot tell whether the tail was cut.',
    restart,
  ),
  durability: optional(
    choice(['interval'], ['each']),
    'interval',
    '`interval`: records are written at the end of each event-loop turn and synced every `sync-every`.',
    restart,
  ),
  'sync-every': optional(duration('100ms', '60s'), 1000, 'Time between two fsyncs of the records: what a power cut can cost.', restart),
  'checkpoint-every': optional(
    duration('1s', '1h'),
    10_000,
    'Time between two signed checkpoints: what can be cut off unseen. An idle period is signed too.',
    restart,
  ),
  'on-full': optional(
    choice(['refuse'], ['serve-unrecorded']),
    'refuse',
    '`refuse`: while a record could not be kept, requests are answered 503.',
    restart,
  ),
  'spool-max': optional(size(1024 ** 2, 4096 * GiB), GiB, 'Bytes that `dir` may hold; at that size `on-full` decides.', restart),
  sinks: optional(
    list(choice(['file', 'stdout'], ['http', 'cassandra']), { min: 1, max: 4 }),
    ['file', 'stdout'],
    'Where records go: `file` is `dir` itself and always needed; `stdout` drops what it cannot take, counted.',
    restart,
  ),
  begin: optional(choice(['none'], ['writes']), 'none', '`none`: one record for each exchange, at its end.', restart),
  'hash-key-files': optional<readonly string[]>(
    list(path('a file'), { max: 16 }),
    [],
    'Keys, 32 random bytes or more each, for facts that are not plain; the first one hashes. Without one such facts are withheld.',
    restart,
  ),
  plain: optional<readonly string[]>(
    list(factName, { max: 200 }),
    [],
    'Facts that are written in clear: token claims (groups, /realm_access/roles), header.NAME, query.NAME.',
    restart,
  ),
  retain: notBuilt('Age at which records are removed.'),
})

const inside = (inner: string, outer: string): boolean => `${resolve('/', inner)}${sep}`.startsWith(`${resolve('/', outer)}${sep}`)

/** The `audit` map of the configuration. */
export const auditSettings: typeof shape = {
  ...shape,
  read(node, at) {
    const value = shape.read(node, at)
    if (value === bad || node.kind !== 'map') return value
    if (!value.sinks.includes('file'))
      return fail(at, entryOf(node, 'sinks') ?? node, 204, 'sinks lacks file, which holds what the others are fed from; add it.')
    if (new Set(value.sinks).size !== value.sinks.length)
      return fail(at, entryOf(node, 'sinks') ?? node, 204, 'sinks names a kind twice; remove one.')
    // Whoever can cut the records could then cut their proof in the same stroke.
    if (value.second !== null && (inside(value.second, value.dir) || inside(value.dir, value.second)))
      return fail(at, entryOf(node, 'second') ?? node, 204, 'second lies inside dir, or dir inside it; write a folder elsewhere.')
    return value
  },
}

type Read = Exclude<ReturnType<typeof shape.read>, typeof bad>

/** Durations in milliseconds, sizes in bytes, paths relative to the configuration file. */
export type AuditSettings = Read
