import type { Image } from "@/api/docker";

export function imageName({ tags, id }: Image): string {
  return tags[0] ?? id.replace(/^sha256:/, "").slice(0, 12);
}

export function matchesImage({ tags, id }: Image, text: string): boolean {
  const wanted = text.trim().toLowerCase();
  return [...tags, id].some((word) => word.toLowerCase().includes(wanted));
}

// Those with a name first.
export function byName(images: readonly Image[]): Image[] {
  const named = ({ tags }: Image) => Number(tags.length === 0);
  return images.toSorted((a, b) => named(a) - named(b) || imageName(a).localeCompare(imageName(b)));
}

// What pruning takes: no tag names it and no container was made from it.
export function unneeded(images: readonly Image[]): Image[] {
  return images.filter(({ tags, containers }) => tags.length === 0 && containers === 0);
}
