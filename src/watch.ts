import { type FSWatcher, watch } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { LoadedConfig } from './load.ts'
import type { Deps } from './model/deps.ts'

const quietMs = 200
const pollMs = 10_000

export interface Watching {
  close(): void
}

/** Watches the configuration, the secrets that it names, and the policies. */
export const watchFiles = ({ config, file, secretFiles }: LoadedConfig, deps: Deps, changed: () => void): Watching =>
  watchPaths([resolve(file), ...secretFiles], [resolve(dirname(resolve(file)), config.policies.dir)], deps, changed)

/**
 * Calls `changed` when something under the given files or folders may have changed: 200 ms after the last event, and every 10 s in case an
 * event was lost. Folders are watched, not files: Kubernetes swaps a `..data` link and editors rename, and a watcher on the file would follow
 * the old one. Whether anything really changed is for the reader of the contents to say.
 */
const watchPaths = (files: readonly string[], folders: readonly string[], deps: Deps, changed: () => void): Watching => {
  const state: { quiet: { cancel(): void } | null; poll: { cancel(): void } | null; closed: boolean } = {
    quiet: null,
    poll: null,
    closed: false,
  }
  const watchers: FSWatcher[] = []
  const noticed = (): void => {
    state.quiet?.cancel()
    state.quiet = deps.clock.after(quietMs, changed)
  }
  const poll = (): void => {
    if (state.closed) return
    changed()
    state.poll = deps.clock.after(pollMs, poll)
  }
  const follow = (folder: string, recursive: boolean): void => {
    try {
      const watcher = watch(folder, { recursive, persistent: false }, noticed)
      // A folder that is deleted ends its watcher; the poll goes on and sees it come back.
      watcher.on('error', () => watcher.close())
      watchers.push(watcher)
    } catch {
      deps.log.debug({ folder }, 'cannot be watched; it is polled')
    }
  }
  for (const folder of new Set(files.map(file => dirname(file)))) follow(folder, false)
  for (const folder of new Set(folders)) follow(folder, true)
  state.poll = deps.clock.after(pollMs, poll)
  return {
    close() {
      state.closed = true
      state.quiet?.cancel()
      state.poll?.cancel()
      for (const watcher of watchers) watcher.close()
    },
  }
}
