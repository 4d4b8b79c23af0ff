import type { Image } from "@/api/docker";

export function imageName({ tags, id }: Image): string {
  return tags[0] ?? id.replace(/^sha256:/, "").slice(0, 12);
}

export function matchesImage({ tags, id }: Image, text: string): boolean {
  const lowerTerm = text.trim().toLowerCase();
  return [...tags, id].some((word) => word.toLowerCase().includes(lowerTerm));
}

// Images with a tag come first.
export function byName(images: readonly Image[]): Image[] {
  const named = ({ tags }: Image) => Number(tags.length === 0);
  return images.toSorted((a, b) => named(a) - named(b) || imageName(a).localeCompare(imageName(b)));
}

// The images that pruning removes: without a tag and without a container.
export function unneeded(images: readonly Image[]): Image[] {
  return images.filter(({ tags, containers }) => tags.length === 0 && containers === 0);
}
