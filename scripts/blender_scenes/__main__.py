from scripts.blender_scenes.render import main

main()
