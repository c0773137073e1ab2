"""The benchmark: how fast backends train and generate, each by the same protocol and beside the machine's own limit.

    vae bench torch my_package.my_vae

A backend is a module by its dotted name, ours no less than a stranger's; a port's word stands for its module. This
package imports no framework: each backend runs in a process of its own, which `worker` serves.
"""

import vae_rosetta

vae_rosetta.same_module(__name__)
