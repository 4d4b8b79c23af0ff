#!/bin/sh
echo "placeholder replaced below" >&2
