import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

/** Debian's package for each program the bench drives. */
const packages = { nginx: 'nginx-light', wrk: 'wrk', taskset: 'util-linux' } as const

const isThere = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' }).status === 0

/** Installs what is missing, as root on Debian; anywhere else it says what to install. */
export const ensureTools = (say: (text: string) => void): void => {
  if (process.platform !== 'linux') throw new Error('the bench pins processes to cores and reads /proc: it runs on Linux only')
  const missing = Object.entries(packages).filter(([program]) => !isThere(program))
  if (missing.length === 0) return
  const wanted = missing.map(([, name]) => name)
  const command = `apt-get install --no-install-recommends ${wanted.join(' ')}`
  const what = `${missing.map(([program]) => program).join(' and ')} missing`
  if (!isThere('apt-get')) throw new Error(`${what} and there is no apt-get here. Install them (on Debian: ${command}).`)
  if (process.getuid?.() !== 0) throw new Error(`${what}, and installing needs root. Run: sudo ${command}`)
  say(`${what}: ${command}`)
  if (!install(wanted)) {
    say('not found in the known package lists: apt-get update, then once more')
    apt(['update'])
    if (!install(wanted)) throw new Error(`${command} failed; what it said stands above`)
  }
  // Where a package starts its service, it is not ours to keep running.
  if (wanted.includes('nginx-light') && existsSync('/run/nginx.pid')) spawnSync('service', ['nginx', 'stop'], { stdio: 'ignore' })
}

const apt = (args: readonly string[]): boolean =>
  spawnSync('apt-get', ['-q', ...args], { stdio: ['ignore', 2, 2], env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } }).status ===
  0

const install = (names: readonly string[]): boolean => apt(['install', '-y', '--no-install-recommends', ...names])

/** Makes the bundle anew: what is measured is what is shipped. */
export const build = (root: string): void => {
  const { status } = spawnSync(process.execPath, ['cmd/build.mjs'], { cwd: root, stdio: ['ignore', 2, 2] })
  if (status !== 0) throw new Error('the bundle could not be built (npm run build)')
}
