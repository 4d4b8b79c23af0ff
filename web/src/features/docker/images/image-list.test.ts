import { expect, test } from "vitest";
import type { Image } from "@/api/docker";
import { byName, imageName, matchesImage, unneeded } from "@/features/docker/images/image-list";

function imageOf(id: string, known: Partial<Image> = {}): Image {
  return { id, tags: [], size_bytes: 1, created_at: null, containers: 0, ...known };
}

const nginx = imageOf("sha256:aa", { tags: ["nginx:1", "nginx:latest"] });
const left = imageOf("sha256:0123456789abcdef");
const used = imageOf("sha256:bb", { containers: 1 });

test("an image without a tag is shown by its id", () => {
  expect([nginx, left].map(imageName)).toEqual(["nginx:1", "0123456789ab"]);
});

test("images with a tag come first", () => {
  expect(byName([left, nginx])).toEqual([nginx, left]);
});

test("images are found by any tag and by id", () => {
  expect([nginx, left].map((image) => matchesImage(image, "LATEST"))).toEqual([true, false]);
  expect(matchesImage(left, "0123")).toBe(true);
});

test("pruning removes images without a tag and without a container", () => {
  expect(unneeded([nginx, left, used])).toEqual([left]);
});
