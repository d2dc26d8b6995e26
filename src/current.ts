import type { Snapshot } from './snapshot.ts'

export interface Lease {
  readonly snapshot: Snapshot
  end(): void
}

/** The cell that holds the live snapshot. A request takes its lease once, at its start, so half a reload never exists for anyone. */
export interface Current {
  lease(): Lease
  /** The live snapshot, for those who only look. */
  peek(): Snapshot
  /** One assignment; `retired` runs when the last lease on the old snapshot ends. */
  swap(next: Snapshot, retired: (old: Snapshot) => void): void
}

interface Cell {
  readonly snapshot: Snapshot
  leases: number
  retired: ((old: Snapshot) => void) | null
}

export const createCurrent = (first: Snapshot): Current => {
  let live: Cell = { snapshot: first, leases: 0, retired: null }
  const settle = (cell: Cell): void => {
    if (cell.leases > 0 || cell.retired === null) return
    const { retired } = cell
    cell.retired = null
    retired(cell.snapshot)
  }
  return {
    lease() {
      const cell = live
      cell.leases += 1
      return {
        snapshot: cell.snapshot,
        end() {
          cell.leases -= 1
          settle(cell)
        },
      }
    },
    peek: () => live.snapshot,
    swap(next, retired) {
      const old = live
      live = { snapshot: next, leases: 0, retired: null }
      old.retired = retired
      settle(old)
    },
  }
}
