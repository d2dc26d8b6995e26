import type { CassandraSession } from '../model/cassandra.ts'
import { type Entry, readEntry } from './entry.ts'
import { mostEntries } from './list.ts'

/** The deny list that the sidecars of a group share. Every call rejects with what is wrong. */
export interface Share {
  push(entry: Entry, now: number): Promise<void>
  /** All of it, or a rejection: a part would be taken for the whole. */
  pull(): Promise<readonly Entry[]>
  close(): Promise<void>
}

export interface ShareOptions {
  readonly connect: () => Promise<CassandraSession>
  /** `cassandra.group`. */
  readonly group: string
}

const page = 500

/**
 * Table `postern.denials` of deploy/cassandra/init.cql. Rows are only ever written and end by themselves; a removal is a row as well, so
 * that no node that missed it brings the denial back.
 */
export const createShare = ({ connect, group }: ShareOptions): Share => {
  let open: Promise<CassandraSession> | null = null
  const session = (): Promise<CassandraSession> => {
    open ??= connect().catch((fault: unknown) => {
      open = null
      throw fault
    })
    return open
  }
  return {
    async push(entry, now) {
      const seconds = Math.max(1, Math.ceil((entry.until - now) / 1000))
      const cql = 'INSERT INTO postern.denials (scope, id, entry) VALUES (?, ?, ?) USING TTL ?'
      await (await session()).execute(cql, [group, entry.id, JSON.stringify(entry), seconds])
    },
    async pull() {
      const found: Entry[] = []
      const cql = `SELECT id, entry FROM postern.denials WHERE scope = ? AND id > ? LIMIT ${page}`
      for (let last = ''; ; ) {
        const rows = await (await session()).execute(cql, [group, last])
        for (const { id, entry: text } of rows) {
          const entry = readEntry(JSON.parse(String(text)))
          if (entry === null || entry.id !== id) throw new Error(`the row ${JSON.stringify(id)} of postern.denials is not one of ours`)
          found.push(entry)
          last = entry.id
        }
        if (found.length > mostEntries) throw new Error(`postern.denials holds more than ${mostEntries} rows`)
        if (rows.length < page) return found
      }
    },
    async close() {
      await (await open?.catch(() => null))?.close()
    },
  }
}
