import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { fromBase64, MerkleTree, toBase64 } from '../../../src/record/merkle.ts'

const hex = (digest: string): string => Buffer.from(digest, 'latin1').toString('hex')
const leaves = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'].map(text =>
  Buffer.from(text, 'hex'),
)
/** The vectors that implementations of RFC 6962 have shared since Certificate Transparency. */
const roots = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
]

/** RFC 6962 section 2.1, as it is written there. */
const naive = (data: readonly Buffer[]): Buffer => {
  const sha = (...parts: Buffer[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest()
  if (data.length === 0) return sha()
  if (data.length === 1) return sha(Buffer.of(0), data[0]!)
  let k = 1
  while (k * 2 < data.length) k *= 2
  return sha(Buffer.of(1), naive(data.slice(0, k)), naive(data.slice(k)))
}

describe('MerkleTree', () => {
  it('gives the known roots of RFC 6962 for 0 to 8 leaves', () => {
    const tree = new MerkleTree()
    expect(hex(tree.root())).toBe(roots[0])
    for (const [i, leaf] of leaves.entries()) {
      tree.append(leaf)
      expect(hex(tree.root())).toBe(roots[i + 1])
    }
  })

  it('has the naive root at every size up to 300, for leaves of any bytes', () => {
    const tree = new MerkleTree()
    const data: Buffer[] = []
    for (let i = 0; i < 300; i++) {
      const leaf = createHash('sha512')
        .update(`${i}`)
        .digest()
        .subarray(0, i % 65)
      data.push(leaf)
      tree.append(leaf)
      expect(hex(tree.root())).toBe(naive(data).toString('hex'))
    }
  })

  it('hashes a line inside a buffer like a copy of it, and leaves the buffer as it was', () => {
    const bytes = Buffer.from('\nfirst\nsecond\n')
    const before = Buffer.from(bytes)
    const [inside, copied] = [new MerkleTree(), new MerkleTree()]
    inside.appendIn(bytes, 1, 6)
    inside.appendIn(bytes, 7, 13)
    copied.append(Buffer.from('first'))
    copied.append(Buffer.from('second'))
    expect(inside.root()).toBe(copied.root())
    expect(bytes).toEqual(before)
  })

  it('spells digests in base64 and back', () => {
    const root = new MerkleTree().root()
    expect(toBase64(root)).toBe(Buffer.from(roots[0]!, 'hex').toString('base64'))
    expect(fromBase64(toBase64(root))).toBe(root)
  })
})
