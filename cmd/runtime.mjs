/** Plain JavaScript: it must run on any Node that a machine may have, to say what to do about it. */
export const requireRuntime = () => {
  const major = Number(process.versions.node.split('.')[0])
  if (major >= 24) return
  console.error(`Postern needs Node 24 or later; this is ${process.version} (${process.execPath}).
In a clone, "npm ci" brings the right one along and every npm script runs on it:
  npm ci && npm start
  npm run -s postern -- --help
If npm ci ran with install scripts off, the pinned Node is missing; bring it with:
  npm rebuild node --ignore-scripts=false`)
  process.exit(64)
}
